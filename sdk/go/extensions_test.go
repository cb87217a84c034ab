package eventfabric_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

type asked struct{}

type added struct {
	N int `json:"n"`
}

// answering has a function handle events.
func answering(t *testing.T, db *eventfabrictest.RecordingTx, events int, handle func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error) *eventfabric.Failure {
	t.Helper()
	projection := eventfabric.Projection{
		Name:     "test",
		Handlers: []eventfabric.Handler{eventfabric.On("Asked", handle)},
		Upcasters: []eventfabric.Upcaster{
			eventfabric.Upcast("Added", 1, func(p eventfabric.Payload) error { return p.Set("n", 7) }),
		},
	}
	batch := make([]eventfabric.RawEvent, events)
	for i := range batch {
		batch[i] = eventfabrictest.Event("Asked", "{}")
	}
	err := eventfabrictest.Run(projection, db, batch...)
	failure, _ := errors.AsType[*eventfabric.Failure](err)
	return failure
}

func newest(n int) eventfabric.RawEvent {
	event := eventfabrictest.Event("Added", fmt.Sprintf(`{"n": %d, "version": 2}`, n))
	event.SchemaVersion = 2
	return event
}

func TestAStreamIsLoadedWholeWithWhatWasAppended(t *testing.T) {
	const many = 507
	db := &eventfabrictest.RecordingTx{}
	for i := range many {
		db.Stream("Sum", "1", newest(i))
	}
	db.Stream("Sum", "1", eventfabrictest.Event("Renamed", "{}"), eventfabrictest.Event("Added", "{}"))
	failure := answering(t, db, 1, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		version, err := eventfabric.Append(tx, e, "Sum", "1", eventfabric.Exact(many+2),
			eventfabric.NewEvent{Type: "Added", SchemaVersion: 2, Data: added{8}, Topic: "sums"})
		if err != nil || version != many+3 {
			t.Errorf("%d %v", version, err)
		}
		stream, err := eventfabric.Load(tx, e, "Sum", "1", eventfabric.TypeOf[added]("Added"))
		if err != nil {
			return err
		}
		if len(stream.Events) != many+2 || stream.Version != many+3 {
			t.Errorf("%d events, version %d", len(stream.Events), stream.Version)
		}
		last := stream.Events[many:]
		if last[0].Data != (added{7}) || last[1].Data != (added{8}) || last[1].Version != many+3 {
			t.Errorf("%+v", last)
		}
		rest, err := eventfabric.LoadAfter(tx, e, "Sum", "1", many, eventfabric.TypeOf[added](eventfabric.AnyType))
		if err == nil {
			t.Errorf("Renamed has no n: %v", rest)
		}
		return nil
	})
	if failure != nil {
		t.Fatal(failure)
	}
	want := []eventfabrictest.Appended{{Cause: 0, Aggregate: "Sum", ID: "1", AppendedEvent: eventfabric.AppendedEvent{
		Type: "Added", SchemaVersion: 2, Payload: `{"n":8}`, Topic: "sums"}}}
	if !reflect.DeepEqual(db.Appended, want) {
		t.Errorf("got %+v", db.Appended)
	}
}

func TestAConflictLeavesTheTransactionUsable(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Stream("Sum", "1", newest(1))
	event := eventfabric.NewEvent{Type: "Added", Data: added{1}}
	failure := answering(t, db, 2, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		_, err := eventfabric.Append(tx, e, "Sum", "1", eventfabric.NoStream, event)
		conflict, ok := errors.AsType[*eventfabric.AppendError](err)
		if !ok || conflict.Kind != eventfabric.AppendConflict {
			t.Fatalf("%v", err)
		}
		if e.Index == 1 {
			return err
		}
		version, err := eventfabric.Append(tx, e, "Sum", "1", eventfabric.Exact(conflict.Version), event, event)
		if err != nil || version != 3 {
			t.Errorf("%d, %v", version, err)
		}
		_, err = eventfabric.Append(tx, e, "Sum", "2", eventfabric.AnyVersion, event)
		return err
	})
	if failure == nil || failure.Kind != eventfabric.KindRetry || failure.Event != 1 || !strings.Contains(failure.Error(), "at version 3") {
		t.Errorf("got %+v", failure)
	}
	if len(db.Appended) != 3 {
		t.Errorf("got %+v", db.Appended)
	}
}

func TestTheErrorsOfTheLog(t *testing.T) {
	for kind, want := range map[eventfabric.AppendErrorKind]eventfabric.FailureKind{
		eventfabric.AppendDenied: eventfabric.KindPoison, eventfabric.AppendInvalid: eventfabric.KindPoison,
		eventfabric.AppendLimit: eventfabric.KindPoison, eventfabric.AppendDatabase: eventfabric.KindRetry,
	} {
		db := &eventfabrictest.RecordingTx{}
		db.Refuse(eventfabric.AppendError{Kind: kind, Message: "not now"})
		failure := answering(t, db, 2, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
			if e.Index == 0 {
				return nil
			}
			_, err := eventfabric.Load(tx, e, "Sum", "1")
			_ = tx.Run("UPDATE sums SET n = 1") // which is not done where the transaction is lost
			return err
		})
		if failure == nil || failure.Kind != want || failure.Event != 1 || failure.Error() != "not now" {
			t.Errorf("got %+v, want %v", failure, want)
		}
	}
	db := &eventfabrictest.RecordingTx{}
	db.Refuse(eventfabric.AppendError{Kind: eventfabric.AppendDatabase, Message: "deadlock"})
	failure := answering(t, db, 1, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		_, _ = eventfabric.Load(tx, e, "Sum", "1") // an error that is ignored
		_, err := eventfabric.Append(tx, e, "Sum", "1", eventfabric.AnyVersion, eventfabric.NewEvent{Type: "Added", Data: added{}})
		if err == nil || err.Error() != "deadlock" {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if failure == nil || failure.Kind != eventfabric.KindRetry || len(db.Appended) != 0 {
		t.Errorf("got %+v", failure)
	}
	failure = answering(t, &eventfabrictest.RecordingTx{}, 1, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		_, err := eventfabric.Append(tx, e, "Sum", "1", eventfabric.AnyVersion, eventfabric.NewEvent{Type: "Added", Data: []int{1}})
		return err
	})
	if failure == nil || failure.Error() != "the data of a new Added: [1] is no JSON object" {
		t.Errorf("got %+v", failure)
	}
}

func TestARequestIsSentAsItIsWritten(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Respond(eventfabric.Response{Status: 202, Headers: []eventfabric.Header{{Name: "x-id", Value: "7"}}, Body: []byte(`{"n": 3}`)})
	failure := answering(t, db, 2, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		if e.Index == 0 {
			return nil
		}
		response, err := eventfabric.Send(tx, e, eventfabric.Request{
			URL: "https://h/x", JSON: added{1}, Headers: []eventfabric.Header{{Name: "x-a", Value: "1"}}, Timeout: time.Second,
		})
		if err != nil {
			return err
		}
		var answer added
		if err := response.JSON(&answer); err != nil || answer.N != 3 || response.Header("X-Id") != "7" || response.Err() != nil {
			t.Errorf("%+v %v", response, err)
		}
		_, err = eventfabric.Send(tx, e, eventfabric.Request{URL: "https://h/y"})
		if err != nil {
			return err
		}
		_, err = eventfabric.Send(tx, e, eventfabric.Request{Method: "PUT", URL: "https://h/z", Body: []byte("text")})
		return err
	})
	if failure != nil {
		t.Fatal(failure)
	}
	want := []eventfabrictest.Sent{
		{Cause: 1, OutgoingRequest: eventfabric.OutgoingRequest{Method: "POST", URL: "https://h/x", Body: []byte(`{"n":1}`), Timeout: time.Second,
			Headers: []eventfabric.Header{{Name: "x-a", Value: "1"}, {Name: "content-type", Value: "application/json"}}}},
		{Cause: 1, OutgoingRequest: eventfabric.OutgoingRequest{Method: "GET", URL: "https://h/y"}},
		{Cause: 1, OutgoingRequest: eventfabric.OutgoingRequest{Method: "PUT", URL: "https://h/z", Body: []byte("text")}},
	}
	if !reflect.DeepEqual(db.Requests, want) {
		t.Errorf("got %+v", db.Requests)
	}
}

func TestWhatCanPassIsTriedAgainAndTheRestIsPoison(t *testing.T) {
	for kind, want := range map[eventfabric.SendErrorKind]eventfabric.FailureKind{
		eventfabric.SendTimeout: eventfabric.KindRetry, eventfabric.SendConnection: eventfabric.KindRetry,
		eventfabric.SendDenied: eventfabric.KindPoison, eventfabric.SendInvalid: eventfabric.KindPoison,
		eventfabric.SendLimit: eventfabric.KindPoison,
	} {
		db := &eventfabrictest.RecordingTx{}
		db.FailRequest(eventfabric.SendError{Kind: kind, Message: "no answer"})
		failure := answering(t, db, 1, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
			_, err := eventfabric.Send(tx, e, eventfabric.Request{URL: "https://h"})
			return err
		})
		if failure == nil || failure.Kind != want || failure.Event != 0 || failure.Error() != "no answer" {
			t.Errorf("got %+v, want %v", failure, want)
		}
	}
	for status, want := range map[int]eventfabric.FailureKind{
		301: eventfabric.KindPoison, 400: eventfabric.KindPoison, 404: eventfabric.KindPoison, 408: eventfabric.KindRetry,
		425: eventfabric.KindRetry, 429: eventfabric.KindRetry, 500: eventfabric.KindRetry, 503: eventfabric.KindRetry,
	} {
		err := (&eventfabric.Response{Status: status}).Err()
		if failure, ok := errors.AsType[*eventfabric.Failure](err); !ok || failure.Kind != want {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
	}
	busy := eventfabric.Response{Status: 429, Headers: []eventfabric.Header{{Name: "Retry-After", Value: "30"}}, Body: []byte(strings.Repeat("ä", 300))}
	if got, want := busy.Err().Error(), "the server answered 429, retry-after: 30: "+strings.Repeat("ä", 200); got != want {
		t.Errorf("got %s", got)
	}
}

func TestNothingIsSentInALostTransaction(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Fail("UPDATE", eventfabric.SQLError{Kind: eventfabric.SQLRetryable, Message: "deadlock"})
	failure := answering(t, db, 1, func(tx *eventfabric.Tx, e eventfabric.Event[asked]) error {
		_, _ = tx.Exec("UPDATE sums SET n = 1")
		_, err := eventfabric.Send(tx, e, eventfabric.Request{URL: "https://h"})
		return err
	})
	if failure == nil || failure.Kind != eventfabric.KindRetry || len(db.Requests) != 0 {
		t.Errorf("got %+v, %+v", failure, db.Requests)
	}
}
