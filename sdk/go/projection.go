package eventfabric

import (
	"fmt"
	"io/fs"
)

// Mode is where a projection gets its events from, and when.
type Mode uint8

const (
	// Async takes events from the outbox: any order across streams, with retries and dead letters for each event on
	// its own.
	Async Mode = iota
	// CatchUp takes events from the log, in its order.
	CatchUp
	// Inline handles events in the transaction of the append: the read model is never behind, and a failure fails the
	// append.
	Inline
)

// Topics is which topics an async projection takes. At most one of the two is given; without any it takes every event.
type Topics struct {
	// Only these. An event without a topic never matches.
	Only []string
	// Except these. An event without a topic matches.
	Except []string
}

// Projection is what turns events into rows. It has Handlers or a Batch.
type Projection struct {
	// Name is the identity of the projection and the name of its schema: `[a-z][a-z0-9_]{0,47}`.
	Name string
	// Text is one sentence for people.
	Text   string
	Mode   Mode
	Topics Topics
	// Migrations holds the files that make its tables, in any folder, such as migrations/001_create_accounts.sql: an
	// [embed.FS]. One that was released must never be changed.
	Migrations fs.FS
	// Handlers handle events one by one. The projection gets events of their types and no others.
	Handlers []Handler
	// Batch handles events together; see [OnBatch].
	Batch Batch
	// Upcasters lift events of older schema versions before they are read.
	Upcasters []Upcaster
}

// Batch handles all events of a batch together. See [OnBatch].
type Batch struct {
	types  []EventType
	handle func(tx *Tx, events []Event[any]) error
}

// OnBatch has a function handle a batch, for projections that merge it before they write. The Data of an event has the
// type that [TypeOf] says:
//
//	eventfabric.OnBatch(handle, eventfabric.TypeOf[Opened]("AccountOpened"), eventfabric.TypeOf[Closed]("AccountClosed"))
//
//	switch data := event.Data.(type) {
//	case Opened:
func OnBatch(handle func(tx *Tx, events []Event[any]) error, types ...EventType) Batch {
	return Batch{types, handle}
}

// Description is what a projection says of itself to the host.
type Description struct {
	Name       string
	Text       string
	Mode       Mode
	Topics     Topics
	EventTypes []string
	Migrations []Migration
}

// Describe makes the description, or says what is wrong with the projection.
func (p *Projection) Describe() (Description, error) {
	d := Description{Name: p.Name, Text: p.Text, Mode: p.Mode, Topics: p.Topics}
	if (len(p.Handlers) == 0) == (p.Batch.handle == nil) {
		return d, fmt.Errorf("projection %q has neither Handlers nor a Batch, or both", p.Name)
	}
	var err error
	if d.Migrations, err = migrationsOf(p.Migrations); err != nil {
		return d, err
	}
	if len(p.Topics.Only) > 0 && len(p.Topics.Except) > 0 {
		return d, fmt.Errorf("projection %q has Topics.Only and Topics.Except; one of them says it", p.Name)
	}
	seen, all := map[string]bool{}, false
	for _, name := range p.typeNames() {
		if seen[name] {
			return d, fmt.Errorf("projection %q handles %s twice", p.Name, name)
		}
		seen[name], all = true, all || name == AnyType
		d.EventTypes = append(d.EventTypes, name)
	}
	if all {
		d.EventTypes = nil
	}
	return d, nil
}

func (p *Projection) typeNames() []string {
	var names []string
	for _, handler := range p.Handlers {
		names = append(names, handler.name)
	}
	for _, event := range p.Batch.types {
		names = append(names, event.name)
	}
	return names
}

// Handle handles a batch as the host would have it handled: typed events, one transaction, everything that was queued
// written at the end. The exported component and the tests both come here. A panic is a failure, and its stack is
// logged. The error is a [*Failure].
func (p *Projection) Handle(backend Backend, events []RawEvent) error {
	tx := newTx(backend)
	tx.upcasters = p.Upcasters
	return tx.do(KindPoison, func() error { return p.run(tx, events) })
}

func (p *Projection) run(tx *Tx, events []RawEvent) error {
	if p.Batch.handle != nil {
		return p.runBatch(tx, events)
	}
	for i := range events {
		event := &events[i]
		tx.event = i
		if err := p.lift(event); err != nil {
			return err
		}
		handler := find(p.Handlers, event.Type, func(h Handler) string { return h.name })
		if handler == nil {
			return Fatalf("no handler for %s", event)
		}
		if err := handler.handle(tx, event, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Projection) runBatch(tx *Tx, events []RawEvent) error {
	typed := make([]Event[any], len(events))
	for i := range events {
		event := &events[i]
		tx.event = i
		if err := p.lift(event); err != nil {
			return err
		}
		kind := find(p.Batch.types, event.Type, func(t EventType) string { return t.name })
		if kind == nil {
			return Fatalf("no type for %s", event)
		}
		data, err := kind.decode(event)
		if err != nil {
			return unreadable(event, err)
		}
		typed[i] = Event[any]{*event, data, i}
	}
	tx.event = NoEvent
	return p.Batch.handle(tx, typed)
}

func (p *Projection) lift(event *RawEvent) error {
	if err := event.lift(p.Upcasters); err != nil {
		return Poison(fmt.Errorf("%s: %w", event, err))
	}
	return nil
}

// find looks for the item of a name, or for that of [AnyType].
func find[T any](items []T, name string, nameOf func(T) string) *T {
	var others *T
	for i := range items {
		switch nameOf(items[i]) {
		case name:
			return &items[i]
		case AnyType:
			others = &items[i]
		}
	}
	return others
}
