module eventfabric.dev/eventfabric

go 1.27
