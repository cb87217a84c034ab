package eventfabric

import (
	"time"

	store "eventfabric.dev/eventfabric/internal/wit/eventfabric_process_manager_event_store"
	sql "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_sql"
	outgoing "eventfabric.dev/eventfabric/internal/wit/eventfabric_reactor_outgoing"
	wit "eventfabric.dev/eventfabric/internal/witpkg/types"
)

// The linker leaves out what nobody calls: a component has the imports of these two only where it uses [Load], [Append]
// or [Send].
func storeOf(backend Backend) EventStore { return hostStore(backend.(hostTx)) }

func outgoingOf(Backend) Outgoing { return hostOutgoing{} }

// hostStore is the log in the host.
type hostStore struct{ tx *sql.Tx }

func (h hostStore) LoadStream(cause int, aggregate, id string, after, limit uint32) (*StreamPage, error) {
	result := store.Load(h.tx, uint32(cause), aggregate, id, after, limit)
	if result.IsErr() {
		return nil, appendError(result.Err())
	}
	loaded := result.Ok()
	page := &StreamPage{make([]RawEvent, len(loaded.Events)), loaded.Version, loaded.More}
	for i := range loaded.Events {
		page.Events[i] = eventOf(&loaded.Events[i])
	}
	return page, nil
}

func (h hostStore) AppendEvents(cause int, aggregate, id string, expected ExpectedVersion, events []AppendedEvent) (uint32, error) {
	version := store.MakeExpectedVersionAny()
	switch expected.kind {
	case expectNone:
		version = store.MakeExpectedVersionNone()
	case expectExact:
		version = store.MakeExpectedVersionExact(expected.version)
	}
	appended := make([]store.NewEvent, len(events))
	for i, event := range events {
		topic := wit.None[string]()
		if event.Topic != "" {
			topic = wit.Some(event.Topic)
		}
		appended[i] = store.NewEvent{EventType: event.Type, SchemaVersion: event.SchemaVersion, Payload: event.Payload, Topic: topic}
	}
	result := store.Append(h.tx, uint32(cause), aggregate, id, version, appended)
	if result.IsErr() {
		return 0, appendError(result.Err())
	}
	return result.Ok(), nil
}

func appendError(e store.AppendError) error {
	switch e.Tag() {
	case store.AppendErrorConflict:
		return &AppendError{Kind: AppendConflict, Version: e.Conflict()}
	case store.AppendErrorDenied:
		return &AppendError{Kind: AppendDenied, Message: e.Denied()}
	case store.AppendErrorInvalid:
		return &AppendError{Kind: AppendInvalid, Message: e.Invalid()}
	case store.AppendErrorLimit:
		return &AppendError{Kind: AppendLimit, Message: e.Limit()}
	}
	return &AppendError{Kind: AppendDatabase, Message: e.Database()}
}

// hostOutgoing is the outgoing HTTP of the host.
type hostOutgoing struct{}

var methods = map[string]outgoing.Method{
	"GET": outgoing.MethodGet, "HEAD": outgoing.MethodHead, "POST": outgoing.MethodPost, "PUT": outgoing.MethodPut,
	"PATCH": outgoing.MethodPatch, "DELETE": outgoing.MethodDelete,
}

func (hostOutgoing) SendRequest(cause int, request OutgoingRequest) (*Response, error) {
	method, ok := methods[request.Method]
	if !ok {
		return nil, &SendError{SendInvalid, "there is no method " + request.Method}
	}
	out := outgoing.Request{Method: method, Url: request.URL, Body: request.Body, TimeoutMs: wit.None[uint32]()}
	for _, header := range request.Headers {
		out.Headers = append(out.Headers, outgoing.Header{F0: header.Name, F1: header.Value})
	}
	if request.Timeout > 0 {
		milliseconds := (request.Timeout + time.Millisecond - 1) / time.Millisecond
		out.TimeoutMs = wit.Some(uint32(min(milliseconds, 1<<32-1)))
	}
	result := outgoing.Send(uint32(cause), out)
	if result.IsErr() {
		return nil, sendError(result.Err())
	}
	answer := result.Ok()
	response := &Response{Status: int(answer.Status), Body: answer.Body}
	for _, header := range answer.Headers {
		response.Headers = append(response.Headers, Header{header.F0, header.F1})
	}
	return response, nil
}

func sendError(e outgoing.SendError) error {
	switch e.Tag() {
	case outgoing.SendErrorDenied:
		return &SendError{SendDenied, e.Denied()}
	case outgoing.SendErrorInvalid:
		return &SendError{SendInvalid, e.Invalid()}
	case outgoing.SendErrorTimeout:
		return &SendError{SendTimeout, e.Timeout()}
	case outgoing.SendErrorConnection:
		return &SendError{SendConnection, e.Connection()}
	}
	return &SendError{SendLimit, e.Limit()}
}
