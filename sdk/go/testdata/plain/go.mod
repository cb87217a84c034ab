module plain

go 1.27

require eventfabric.dev/eventfabric v0.0.0

replace eventfabric.dev/eventfabric => ../..
