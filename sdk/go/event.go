package eventfabric

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"reflect"
	"time"
)

// RawEvent is a fact from the log, as the contract has it.
type RawEvent struct {
	// Position is the place in the log of all streams, from 1. It has holes.
	Position uint64
	// ID is the UUID of the event, as text.
	ID     string
	Tenant string
	// Aggregate is the kind of aggregate, such as `Account`, and AggregateID which one of that kind.
	Aggregate   string
	AggregateID string
	// Version is the place in the stream of that aggregate: 1, 2, 3, … without holes.
	Version uint32
	// Type is the event type, such as `AccountOpened`, and SchemaVersion the version of its payload.
	Type          string
	SchemaVersion uint32
	// Payload is a JSON object. It holds `type` and `version` beside the data.
	Payload    string
	OccurredAt time.Time
	// CorrelationID is what belongs together, and CausationID what caused this event. Nil: not known.
	CorrelationID *string
	CausationID   *string
}

// Event is an event with its payload as a T, and all that the log knows of it.
//
// The JSON of the payload becomes a T as in encoding/json/v2, with `json` tags; but it is a poison event, and named,
// where a field of T is missing in it or null: a field that may be is a pointer, a slice, a map, an interface, an
// sql.Null, or has `omitempty` or `omitzero` in its tag. Fields that T lacks are ignored. With
// [jsontext.Value] as T it is the text.
type Event[T any] struct {
	RawEvent
	Data T
	// Index is the place in the batch, from 0.
	Index int
}

// Blame makes a failure of an error that blames this event: for handlers of a batch, where the SDK can't know. In a
// handler of one event it is not needed. The error keeps its kind; see [Poison].
func (e Event[T]) Blame(err error) error {
	if err == nil {
		return nil
	}
	failure := failureOf(err)
	failure.Event = e.Index
	return failure
}

func (e *RawEvent) String() string {
	return fmt.Sprintf("%s version %d at position %d (stream %s/%s)", e.Type, e.SchemaVersion, e.Position, e.Aggregate, e.AggregateID)
}

// lift makes a payload of an older schema version one of the newest; see [Upcast].
func (e *RawEvent) lift(steps []Upcaster) error {
	var newest uint32
	for _, step := range steps {
		if step.Type == e.Type {
			newest = max(newest, step.From+1)
		}
	}
	if newest == 0 || e.SchemaVersion == newest {
		return nil
	}
	if e.SchemaVersion > newest {
		return fmt.Errorf("schema version %d is newer than this plugin, which knows it up to %d: deploy a newer plugin", e.SchemaVersion, newest)
	}
	payload := map[string]jsontext.Value{}
	if err := json.Unmarshal([]byte(e.Payload), &payload); err != nil {
		return err
	}
	for version := e.SchemaVersion; version < newest; version++ {
		if err := lift(payload, steps, e.Type, version); err != nil {
			return err
		}
		payload["version"] = jsontext.Value(fmt.Sprint(version + 1))
	}
	text, err := json.Marshal(payload, json.Deterministic(true))
	if err != nil {
		return err
	}
	e.Payload, e.SchemaVersion = string(text), newest
	return nil
}

func lift(payload Payload, steps []Upcaster, eventType string, version uint32) error {
	for _, step := range steps {
		if step.Type == eventType && step.From == version {
			if err := step.Lift(payload); err != nil {
				return fmt.Errorf("the upcaster from schema version %d: %w", version, err)
			}
			return nil
		}
	}
	return fmt.Errorf("nothing lifts schema version %d to %d", version, version+1)
}

// Payload is a payload by its fields, each as JSON text, so that nothing in it is rounded.
type Payload map[string]jsontext.Value

// Get reads a field into what `to` points to. A field that is missing is an error.
func (p Payload) Get(field string, to any) error {
	value, ok := p[field]
	if !ok {
		return missing(field)
	}
	if err := json.Unmarshal(value, to); err != nil {
		return fmt.Errorf("field `%s`: %w", field, err)
	}
	return nil
}

// Set writes a field.
func (p Payload) Set(field string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("field `%s`: %w", field, err)
	}
	p[field] = value
	return nil
}

// Upcaster is a step from one schema version of an event type to the next: a projection's own view, whatever the
// host does before it.
type Upcaster struct {
	Type string
	// From is the version that Lift takes; it makes From + 1.
	From uint32
	// Lift changes the payload. `version` in it is set afterwards.
	Lift func(Payload) error
}

// Upcast makes an [Upcaster].
func Upcast(eventType string, from uint32, lift func(Payload) error) Upcaster {
	return Upcaster{eventType, from, lift}
}

// EventType is an event type with the Go type of its payload. See [TypeOf].
type EventType struct {
	name   string
	decode func(raw *RawEvent) (any, error)
}

// TypeOf says that events of a type have a T as payload; see [Event]. The name [AnyType] stands for all types that are
// not named.
func TypeOf[T any](name string) EventType {
	decoder := decoderOf(reflect.TypeFor[T]())
	return EventType{name, func(raw *RawEvent) (any, error) {
		var data T
		err := decoder.text(raw.Payload, &data)
		return data, err
	}}
}

// AnyType is the name of every event type that has no handler of its own.
const AnyType = "*"

// Handler handles the events of one type. See [On].
type Handler struct {
	name   string
	handle func(tx *Tx, raw *RawEvent, index int) error
}

// On has a function handle the events of a type, one by one. Its payload is a T; see [Event].
func On[T any](eventType string, handle func(tx *Tx, event Event[T]) error) Handler {
	decoder := decoderOf(reflect.TypeFor[T]())
	return Handler{eventType, func(tx *Tx, raw *RawEvent, index int) error {
		event := Event[T]{RawEvent: *raw, Index: index}
		if err := decoder.text(raw.Payload, &event.Data); err != nil {
			return unreadable(raw, err)
		}
		return handle(tx, event)
	}}
}

func unreadable(raw *RawEvent, err error) error {
	return Poisonf("the payload of %s can't be read: %w", raw, err)
}
