// Package eventfabrictest runs a projection in `go test`, without a host: its logic, in milliseconds. Whether the SQL is
// right is what scenarios test.
//
//	func TestOpened(t *testing.T) {
//		db := &eventfabrictest.RecordingTx{}
//		err := eventfabrictest.Run(projection, db, eventfabrictest.Event("AccountOpened", `{"owner": "Ada"}`))
//		if err != nil {
//			t.Fatal(err)
//		}
//		want := [][]any{eventfabrictest.Params("1", "Ada")}
//		if got := db.CallsOf("INSERT INTO accounts"); !reflect.DeepEqual(got, want) {
//			t.Errorf("got %v, want %v", got, want)
//		}
//	}
package eventfabrictest

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/internal/host"
)

// Event is an event of the stream Test/1 with a payload from JSON text; `type` and `version` are added to it where
// they are missing. Other fields can be set on the result. It panics where the text is no JSON object.
func Event(eventType, payload string) eventfabric.RawEvent {
	fields := map[string]jsontext.Value{
		"type":    jsontext.Value(must(json.Marshal(eventType))),
		"version": jsontext.Value("1"),
	}
	if err := json.Unmarshal([]byte(payload), &fields); err != nil {
		panic(fmt.Sprintf("the payload of %s is no JSON object: %v", eventType, err))
	}
	return eventfabric.RawEvent{
		Position: 1, ID: "00000000-0000-7000-8000-000000000001", Tenant: "default", Aggregate: "Test", AggregateID: "1",
		Version: 1, Type: eventType, SchemaVersion: 1, OccurredAt: time.Unix(0, 0).UTC(),
		Payload: string(must(json.Marshal(fields, json.Deterministic(true)))),
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// Run hands a batch to a projection, as the host does. Events without a place of their own in the log (position 1, as
// from [Event]) are numbered from 1. The error, if any, is an [*eventfabric.Failure].
func Run(projection eventfabric.Projection, backend eventfabric.Backend, events ...eventfabric.RawEvent) error {
	if !slices.ContainsFunc(events, func(e eventfabric.RawEvent) bool { return e.Position != 1 }) {
		for i := range events {
			events[i].Position = uint64(i + 1)
		}
	}
	return projection.Handle(backend, events)
}

// Query asks a query for the tenant `default`, as the host does, but for the check of the parameters: these are of the
// types that the query has, and numbers of int. The error, if any, is an [*eventfabric.Failure].
func Query(queries []eventfabric.Query, backend eventfabric.Backend, name string, params map[string]any) (*eventfabric.RowSet, error) {
	given := make(map[string]any, len(params))
	for name, value := range params {
		given[name] = Params(value)[0]
	}
	request := eventfabric.QueryRequest{Name: name, Tenant: "default", Params: given}
	return eventfabric.AnswerQuery(backend, queries, request)
}

// SetConfig has [eventfabric.Config] return these settings until the test ends.
func SetConfig(t testing.TB, settings map[string]string) {
	config, all := host.Config, host.Settings
	t.Cleanup(func() { host.Config, host.Settings = config, all })
	host.Config = func(key string) (string, bool) {
		value, ok := settings[key]
		return value, ok
	}
	host.Settings = func() map[string]string { return maps.Clone(settings) }
}

// Params are parameters as they reach the database, to compare with: an int is a bigint there, for one. It panics where
// one is nothing that PostgreSQL has.
func Params(args ...any) []any {
	values, err := eventfabric.Params(args...)
	if err != nil {
		panic(err)
	}
	return values
}

// Statement is a statement that reached the database.
type Statement struct {
	Text   string
	Params []any
}

// RecordingTx records statements, and answers queries from a script. Answers and failures are found by a part of the
// statement, and used up in the order they were given. A query without an answer returns no rows.
type RecordingTx struct {
	// Statements are those that reached the database, in their order.
	Statements []Statement
	// RoundTrips is how often the database was called: a batch counts once.
	RoundTrips int
	// Appended are the events that were appended, in their order.
	Appended []Appended
	// Requests are those that were sent, in their order.
	Requests []Sent

	script  []answer
	streams map[[2]string][]eventfabric.RawEvent
	refuse  []error
	answers []reply
}

// Appended is an event that was appended, and where.
type Appended struct {
	// Cause is the index of the event that was handled.
	Cause         int
	Aggregate, ID string
	eventfabric.AppendedEvent
}

// Sent is a request that was sent.
type Sent struct {
	// Cause is the index of the event that was handled.
	Cause int
	eventfabric.OutgoingRequest
}

type reply struct {
	response *eventfabric.Response
	err      error
}

type answer struct {
	part string
	rows *eventfabric.RowSet
	err  *eventfabric.SQLError
}

// Answer has the next query whose text holds a part return rows.
func (r *RecordingTx) Answer(part string, columns []string, rows ...[]any) {
	set := &eventfabric.RowSet{Columns: columns}
	for _, row := range rows {
		set.Rows = append(set.Rows, Params(row...))
	}
	r.script = append(r.script, answer{part, set, nil})
}

// Fail has the next statement whose text holds a part fail.
func (r *RecordingTx) Fail(part string, err eventfabric.SQLError) {
	r.script = append(r.script, answer{part, nil, &err})
}

// CallsOf returns the parameters of the statements whose text holds a part.
func (r *RecordingTx) CallsOf(part string) [][]any {
	var calls [][]any
	for _, statement := range r.Statements {
		if strings.Contains(statement.Text, part) {
			calls = append(calls, statement.Params)
		}
	}
	return calls
}

// Execute is for the projection.
func (r *RecordingTx) Execute(statement string, params []any) (uint64, error) {
	r.RoundTrips++
	rows, err := r.record(statement, params)
	if err != nil {
		return 0, err
	}
	return uint64(max(1, len(rows.Rows))), nil
}

// Query is for the projection.
func (r *RecordingTx) Query(statement string, params []any) (*eventfabric.RowSet, error) {
	r.RoundTrips++
	return r.record(statement, params)
}

// ExecuteBatch is for the projection.
func (r *RecordingTx) ExecuteBatch(statements []string, calls []eventfabric.Call) (int, error) {
	r.RoundTrips++
	for i, call := range calls {
		if _, err := r.record(statements[call.Statement], call.Params); err != nil {
			return i, err
		}
	}
	return 0, nil
}

func (r *RecordingTx) record(statement string, params []any) (*eventfabric.RowSet, error) {
	r.Statements = append(r.Statements, Statement{statement, params})
	for i, next := range r.script {
		if strings.Contains(statement, next.part) {
			r.script = slices.Delete(r.script, i, i+1)
			if next.err != nil {
				return nil, next.err
			}
			return next.rows, nil
		}
	}
	return &eventfabric.RowSet{}, nil
}

// Stream adds events to a stream of the log, numbered from its last version on.
func (r *RecordingTx) Stream(aggregate, id string, events ...eventfabric.RawEvent) {
	if r.streams == nil {
		r.streams = map[[2]string][]eventfabric.RawEvent{}
	}
	stream := r.streams[[2]string{aggregate, id}]
	for _, event := range events {
		event.Aggregate, event.AggregateID, event.Version = aggregate, id, uint32(len(stream)+1)
		stream = append(stream, event)
	}
	r.streams[[2]string{aggregate, id}] = stream
}

// Refuse has the next use of the log fail.
func (r *RecordingTx) Refuse(err eventfabric.AppendError) { r.refuse = append(r.refuse, &err) }

func (r *RecordingTx) refused() error {
	if len(r.refuse) == 0 {
		return nil
	}
	err := r.refuse[0]
	r.refuse = r.refuse[1:]
	return err
}

// LoadStream is for the projection.
func (r *RecordingTx) LoadStream(_ int, aggregate, id string, after, limit uint32) (*eventfabric.StreamPage, error) {
	if err := r.refused(); err != nil {
		return nil, err
	}
	stream := r.streams[[2]string{aggregate, id}]
	page := &eventfabric.StreamPage{Version: min(after, uint32(len(stream)))}
	for _, event := range stream[page.Version:] {
		if uint32(len(page.Events)) == limit {
			page.More = true
			break
		}
		page.Events = append(page.Events, event)
		page.Version = event.Version
	}
	return page, nil
}

// AppendEvents is for the projection.
func (r *RecordingTx) AppendEvents(
	cause int, aggregate, id string, expected eventfabric.ExpectedVersion, events []eventfabric.AppendedEvent,
) (uint32, error) {
	if err := r.refused(); err != nil {
		return 0, err
	}
	if version := uint32(len(r.streams[[2]string{aggregate, id}])); !expected.Allows(version) {
		return 0, &eventfabric.AppendError{Kind: eventfabric.AppendConflict, Version: version}
	}
	for _, event := range events {
		r.Appended = append(r.Appended, Appended{cause, aggregate, id, event})
		raw := Event(event.Type, event.Payload)
		raw.SchemaVersion = event.SchemaVersion
		r.Stream(aggregate, id, raw)
	}
	return uint32(len(r.streams[[2]string{aggregate, id}])), nil
}

// Respond has the next request get this answer. Those that nothing was said of get the status 200.
func (r *RecordingTx) Respond(response eventfabric.Response) {
	r.answers = append(r.answers, reply{response: &response})
}

// FailRequest has the next request get none.
func (r *RecordingTx) FailRequest(err eventfabric.SendError) {
	r.answers = append(r.answers, reply{err: &err})
}

// SendRequest is for the projection.
func (r *RecordingTx) SendRequest(cause int, request eventfabric.OutgoingRequest) (*eventfabric.Response, error) {
	r.Requests = append(r.Requests, Sent{cause, request})
	if len(r.answers) == 0 {
		return &eventfabric.Response{Status: 200}, nil
	}
	next := r.answers[0]
	r.answers = r.answers[1:]
	return next.response, next.err
}
