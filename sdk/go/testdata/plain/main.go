// A projection that has nothing beside the contract.
package main

import "eventfabric.dev/eventfabric"

func init() {
	eventfabric.Export(eventfabric.Projection{
		Name: "plain",
		Handlers: []eventfabric.Handler{
			eventfabric.On("Opened", func(tx *eventfabric.Tx, e eventfabric.Event[struct{}]) error { return nil }),
		},
	})
}

func main() {}
