//go:build !wasip1

package eventfabric

import "fmt"

func storeOf(backend Backend) EventStore {
	if store, ok := backend.(EventStore); ok {
		return store
	}
	panic(fmt.Sprintf("%T is no EventStore", backend))
}

func outgoingOf(backend Backend) Outgoing {
	if outgoing, ok := backend.(Outgoing); ok {
		return outgoing
	}
	panic(fmt.Sprintf("%T is no Outgoing", backend))
}
