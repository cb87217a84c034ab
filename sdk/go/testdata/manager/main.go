// A projection that answers events with events.
package main

import (
	"errors"

	"eventfabric.dev/eventfabric"
)

type opened struct {
	Cents int64 `json:"cents"`
}

type withdrawn struct {
	Cents int64 `json:"cents"`
}

type asked struct {
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

type refused struct {
	Asked int64 `json:"asked"`
	Has   int64 `json:"has"`
}

func init() {
	eventfabric.Export(eventfabric.Projection{
		Name:     "go_manager",
		Mode:     eventfabric.CatchUp,
		Handlers: []eventfabric.Handler{eventfabric.On("WithdrawalAsked", answer)},
	})
}

func main() {}

func answer(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
	account, err := eventfabric.Load(tx, e, "Account", e.Data.Account,
		eventfabric.TypeOf[opened]("AccountOpened"), eventfabric.TypeOf[withdrawn]("MoneyWithdrawn"))
	if err != nil {
		return err
	}
	var balance int64
	for _, event := range account.Events {
		switch data := event.Data.(type) {
		case opened:
			balance += data.Cents
		case withdrawn:
			balance -= data.Cents
		}
	}
	// What the stream is not: the conflict leaves the transaction usable.
	_, err = eventfabric.Append(tx, e, "Account", e.Data.Account, eventfabric.Exact(account.Version+1),
		eventfabric.NewEvent{Type: "MoneyWithdrawn", Data: withdrawn{}})
	conflict, ok := errors.AsType[*eventfabric.AppendError](err)
	if !ok || conflict.Kind != eventfabric.AppendConflict || conflict.Version != account.Version {
		return eventfabric.Fatalf("no conflict: %v", err)
	}
	if balance < e.Data.Cents {
		_, err = eventfabric.Append(tx, e, "Refusal", e.AggregateID, eventfabric.NoStream,
			eventfabric.NewEvent{Type: "WithdrawalRefused", Data: refused{e.Data.Cents, balance}, Topic: "mail"})
		return err
	}
	_, err = eventfabric.Append(tx, e, "Account", e.Data.Account, eventfabric.Exact(account.Version),
		eventfabric.NewEvent{Type: "MoneyWithdrawn", Data: withdrawn{e.Data.Cents}})
	return err
}
