package eventfabric

import (
	"encoding/json/v2"
	"fmt"
)

// EventStore carries out uses of the log: the host in a component, a double in tests. A [Backend] of a process manager is
// one, too. Errors are [*AppendError].
type EventStore interface {
	// LoadStream returns events of a stream after a version, of the tenant of the event at index cause.
	LoadStream(cause int, aggregate, id string, after, limit uint32) (*StreamPage, error)
	// AppendEvents tells the version that the stream has then.
	AppendEvents(cause int, aggregate, id string, expected ExpectedVersion, events []AppendedEvent) (uint32, error)
}

// StreamPage is some of a stream, read up to a version.
type StreamPage struct {
	Events  []RawEvent
	Version uint32
	More    bool
}

// AppendedEvent is a [NewEvent] as an [EventStore] gets it.
type AppendedEvent struct {
	Type          string
	SchemaVersion uint32
	Payload       string
	Topic         string
}

// ExpectedVersion is what a writer believes of a stream: [AnyVersion], [NoStream] or [Exact].
type ExpectedVersion struct {
	kind    expectedKind
	version uint32
}

type expectedKind uint8

const (
	expectAny expectedKind = iota
	expectNone
	expectExact
)

var (
	// AnyVersion is whatever it is.
	AnyVersion = ExpectedVersion{}
	// NoStream is a stream without events.
	NoStream = ExpectedVersion{kind: expectNone}
)

// Exact is a stream at this version.
func Exact(version uint32) ExpectedVersion { return ExpectedVersion{expectExact, version} }

// Allows tells whether a stream at a version is as expected.
func (e ExpectedVersion) Allows(version uint32) bool {
	return e.kind == expectAny || version == e.version // which is 0 of NoStream
}

// NewEvent is a fact that is to be appended.
type NewEvent struct {
	// Type is such as `MoneyWithdrawn`.
	Type string
	// SchemaVersion is that of its data; 0 stands for 1.
	SchemaVersion uint32
	// Data becomes a JSON object by encoding/json/v2.
	Data any
	// Topic is the label in the outbox; empty: none.
	Topic string
}

// AppendErrorKind is what kind of error a use of the log had.
type AppendErrorKind uint8

const (
	// AppendConflict is a stream that is not as expected: a retry, unless it is looked at.
	AppendConflict AppendErrorKind = iota
	// AppendDenied is what the operator has not granted, or too long a chain of causes: poison.
	AppendDenied
	// AppendInvalid is an event or a name that is wrong: poison.
	AppendInvalid
	// AppendLimit is a limit of the sandbox that was reached: poison.
	AppendLimit
	// AppendDatabase is a database that could not do it: a retry. The transaction is lost.
	AppendDatabase
)

// AppendError is why nothing was appended, or a stream not loaded. But for AppendDatabase the transaction goes on.
type AppendError struct {
	Kind AppendErrorKind
	// Version is the one that the stream has, of a conflict.
	Version uint32
	Message string
}

func (e *AppendError) Error() string {
	if e.Kind == AppendConflict {
		return fmt.Sprintf("somebody else has appended to the stream, which is at version %d", e.Version)
	}
	return e.Message
}

func (e *AppendError) kind() FailureKind {
	switch e.Kind {
	case AppendConflict, AppendDatabase:
		return KindRetry
	}
	return KindPoison
}

// Stream is a stream as it is now, in this transaction.
type Stream struct {
	// Events are its events of the types that were asked for, oldest first, without those that were dismissed.
	Events []Event[any]
	// Version is that of the stream, which an append that decides by it expects, and 0 where it has no event. It may be
	// more than that of the last of Events.
	Version uint32
}

// Load reads a whole stream, of the tenant of the event that is being handled. It sees what this transaction has
// appended. The Data of an event has the type that [TypeOf] says, and events of other types are left out:
//
//	account, err := eventfabric.Load(tx, e, "Account", e.Data.Account,
//		eventfabric.TypeOf[Opened]("AccountOpened"), eventfabric.TypeOf[Withdrawn]("MoneyWithdrawn"))
//
//	for _, event := range account.Events {
//		switch data := event.Data.(type) {
//		case Withdrawn:
//
// Older schema versions are lifted by the Upcasters of the projection. A plugin that calls Load or [Append] is a process
// manager, of the mode CatchUp or Async: its component imports the event store, and a host loads it only where the
// operator has granted it `append:AGGREGATE`.
func Load[C any](tx *Tx, cause Event[C], aggregate, id string, types ...EventType) (*Stream, error) {
	return LoadAfter(tx, cause, aggregate, id, 0, types...)
}

// LoadAfter is [Load] without the events up to a version.
func LoadAfter[C any](tx *Tx, cause Event[C], aggregate, id string, version uint32, types ...EventType) (*Stream, error) {
	return tx.load(cause.Index, aggregate, id, version, types)
}

// Append appends events to a stream of the tenant of the event that is being handled, and tells the version that the
// stream has then. They commit together with the record that the batch was handled. Their ids come from the cause, so that
// an event which is handled once more appends nothing twice; so append the same, in the same order, each time.
//
//	_, err := eventfabric.Append(tx, e, "Account", id, eventfabric.Exact(account.Version),
//		eventfabric.NewEvent{Type: "MoneyWithdrawn", Data: Withdrawn{Cents: 250}})
//
// The error is an [*AppendError] where the host refuses. Of a conflict nothing was written, and the transaction goes on:
// load the stream again, or return the error, which has the event tried again.
func Append[C any](tx *Tx, cause Event[C], aggregate, id string, expected ExpectedVersion, events ...NewEvent) (uint32, error) {
	return tx.append(cause.Index, aggregate, id, expected, events)
}

// How many events are asked for at a time.
const pageSize = 500

func (tx *Tx) load(cause int, aggregate, id string, version uint32, types []EventType) (*Stream, error) {
	stream := &Stream{Version: version}
	for {
		if tx.failed != nil {
			return nil, tx.failed
		}
		page, err := storeOf(tx.backend).LoadStream(cause, aggregate, id, stream.Version, pageSize)
		if err != nil {
			return nil, tx.refused(err, cause)
		}
		for _, raw := range page.Events {
			known := find(types, raw.Type, func(t EventType) string { return t.name })
			if known == nil {
				continue
			}
			if err := raw.lift(tx.upcasters); err != nil {
				return nil, &Failure{KindPoison, cause, fmt.Errorf("%s: %w", &raw, err)}
			}
			data, err := known.decode(&raw)
			if err != nil {
				return nil, at(unreadable(&raw, err), cause)
			}
			stream.Events = append(stream.Events, Event[any]{raw, data, cause})
		}
		stream.Version = page.Version
		if !page.More {
			return stream, nil
		}
	}
}

func (tx *Tx) append(cause int, aggregate, id string, expected ExpectedVersion, events []NewEvent) (uint32, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	appended := make([]AppendedEvent, len(events))
	for i, event := range events {
		payload, err := json.Marshal(event.Data, json.Deterministic(true))
		if err == nil && payload[0] != '{' {
			err = fmt.Errorf("%.40s is no JSON object", payload)
		}
		if err != nil {
			return 0, Poisonf("the data of a new %s: %w", event.Type, err)
		}
		appended[i] = AppendedEvent{event.Type, max(1, event.SchemaVersion), string(payload), event.Topic}
	}
	version, err := storeOf(tx.backend).AppendEvents(cause, aggregate, id, expected, appended)
	if err != nil {
		return 0, tx.refused(err, cause)
	}
	return version, nil
}

// refused blames the cause, and gives the transaction up where it is lost.
func (tx *Tx) refused(err error, cause int) error {
	err = at(err, cause)
	if refused, ok := err.(*Failure).Err.(*AppendError); ok && refused.Kind == AppendDatabase {
		tx.failed = err
	}
	return err
}
