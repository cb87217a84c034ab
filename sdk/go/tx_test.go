package eventfabric_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

const insert = "INSERT INTO seen VALUES ($1)"

type anyPayload = eventfabric.Event[struct{}]

// handling makes a projection that does the same for each event.
func handling(handle func(tx *eventfabric.Tx, e anyPayload) error) eventfabric.Projection {
	return eventfabric.Projection{
		Name:     "seen",
		Handlers: []eventfabric.Handler{eventfabric.On(eventfabric.AnyType, handle)},
	}
}

func run(t *testing.T, db *eventfabrictest.RecordingTx, events int, handle func(tx *eventfabric.Tx, e anyPayload) error) *eventfabric.Failure {
	t.Helper()
	batch := make([]eventfabric.RawEvent, events)
	for i := range batch {
		batch[i] = eventfabrictest.Event("Opened", "{}")
	}
	err := eventfabrictest.Run(handling(handle), db, batch...)
	if err == nil {
		return nil
	}
	failure, ok := err.(*eventfabric.Failure)
	if !ok {
		t.Fatalf("%T is no failure", err)
	}
	return failure
}

func TestAReadSeesWhatWasQueuedBeforeIt(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Answer("SELECT", []string{"n"}, []any{2})
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		err := errors.Join(tx.Run(insert, 1), tx.Run(insert, 2))
		if err != nil {
			return err
		}
		if db.RoundTrips != 0 {
			t.Error("the queue was sent before its time")
		}
		n, err := eventfabric.Get[int64](tx, "SELECT count(*) AS n FROM seen")
		if n != 2 {
			t.Errorf("n is %d", n)
		}
		return err
	})
	if failure != nil {
		t.Fatal(failure)
	}
	if db.RoundTrips != 2 || len(db.Statements) != 3 || db.Statements[2].Text != "SELECT count(*) AS n FROM seen" {
		t.Errorf("%d round trips: %v", db.RoundTrips, db.Statements)
	}
}

func TestAFullQueueIsWrittenOut(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		for i := range 1000 {
			if err := tx.Run(insert, i); err != nil {
				return err
			}
		}
		if db.RoundTrips != 1 {
			t.Errorf("%d round trips after 1,000 calls", db.RoundTrips)
		}
		err := tx.Run(insert, strings.Repeat("x", 1<<20))
		if db.RoundTrips != 2 {
			t.Errorf("%d round trips after a MiB", db.RoundTrips)
		}
		return err
	})
	if failure != nil || db.RoundTrips != 2 {
		t.Errorf("%v, %d round trips", failure, db.RoundTrips)
	}
}

func TestAFailedTransactionFailsForGoodEvenIfTheErrorIsIgnored(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Fail("INSERT", eventfabric.SQLError{Kind: eventfabric.SQLConstraint, SQLState: "23505", Message: "duplicate key"})
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		_, first := tx.Exec(insert, 1)
		if second := tx.Run("UPDATE seen SET id = 1"); second == nil || second != first {
			t.Errorf("then %v, after %v", second, first)
		}
		return nil
	})
	if failure == nil || failure.Kind != eventfabric.KindPoison || failure.Event != 0 || len(db.Statements) != 1 {
		t.Errorf("%v, %v", failure, db.Statements)
	}
}

func TestAFailureIsBlamedOnTheEventThatQueuedTheStatement(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Fail("UPDATE", eventfabric.SQLError{Kind: eventfabric.SQLConstraint, Message: "no"})
	failure := run(t, db, 3, func(tx *eventfabric.Tx, e anyPayload) error {
		if e.Index == 1 {
			return tx.Run("UPDATE seen SET id = 1")
		}
		return tx.Run(insert, e.Position)
	})
	if failure == nil || failure.Event != 1 || failure.Error() != "no\nstatement: UPDATE seen SET id = 1" {
		t.Errorf("event %d: %v", failure.Event, failure)
	}
}

func TestAnErrorOfAHandlerIsThatOfItsEvent(t *testing.T) {
	soon := errors.New("the price list has not come yet")
	for _, c := range []struct {
		err  error
		kind eventfabric.FailureKind
	}{
		{soon, eventfabric.KindPoison},
		{eventfabric.Retry(soon), eventfabric.KindRetry},
		{fmt.Errorf("order 42: %w", eventfabric.Retry(soon)), eventfabric.KindRetry},
		{eventfabric.Fatalf("order 42: %w", eventfabric.Retry(soon)), eventfabric.KindFatal},
		{&eventfabric.SQLError{Kind: eventfabric.SQLRetryable}, eventfabric.KindRetry},
		{&eventfabric.SQLError{Kind: eventfabric.SQLConnection}, eventfabric.KindRetry},
		{&eventfabric.SQLError{Kind: eventfabric.SQLConstraint}, eventfabric.KindPoison},
		{&eventfabric.SQLError{Kind: eventfabric.SQLDenied}, eventfabric.KindFatal},
		{&eventfabric.SQLError{Kind: eventfabric.SQLInvalid}, eventfabric.KindFatal},
		{&eventfabric.SQLError{Kind: eventfabric.SQLLimit}, eventfabric.KindFatal},
		{fmt.Errorf("order 42: %w", eventfabric.ErrNoRows), eventfabric.KindFatal},
	} {
		failure := run(t, &eventfabrictest.RecordingTx{}, 2, func(tx *eventfabric.Tx, e anyPayload) error {
			if e.Index == 1 {
				return c.err
			}
			return nil
		})
		if failure == nil || failure.Kind != c.kind || failure.Event != 1 || failure.Error() != c.err.Error() {
			t.Errorf("%v became %v of event %d: %v", c.err, failure.Kind, failure.Event, failure)
		}
		if errors.Is(c.err, soon) != errors.Is(failure, soon) {
			t.Errorf("%v is lost in %v", c.err, failure)
		}
	}
}

func TestAPanicIsTheFailureOfItsEvent(t *testing.T) {
	failure := run(t, &eventfabrictest.RecordingTx{}, 2, func(tx *eventfabric.Tx, e anyPayload) error {
		var none []int
		if e.Index == 1 {
			_ = none[e.Index]
		}
		return nil
	})
	want := "panic: runtime error: index out of range [1] with length 0"
	if failure == nil || failure.Kind != eventfabric.KindPoison || failure.Event != 1 || failure.Error() != want {
		t.Errorf("%v", failure)
	}
}

func TestTheMessageNamesStatementStateDetailAndPlace(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Fail("INSERT", eventfabric.SQLError{
		Kind: eventfabric.SQLConstraint, SQLState: "23505", Message: "duplicate key", Detail: "Key (id)=(1) already exists.", Position: 16,
	})
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		return tx.Run("\n  INSERT INTO things VALUES ($1)\n", 1)
	})
	want := "duplicate key (SQLSTATE 23505)\ndetail: Key (id)=(1) already exists.\n" +
		"statement: INSERT INTO things VALUES ($1)\nat character 13: things VALUES ($1)"
	if failure == nil || failure.Error() != want {
		t.Errorf("%v", failure)
	}
	if sql, ok := errors.AsType[*eventfabric.SQLError](failure); !ok || sql.SQLState != "23505" {
		t.Errorf("%v is no SQL error", failure)
	}
}

func TestOneRowIsOneRow(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Answer("SELECT", []string{"n"}, []any{1}, []any{2})
	db.Answer("SELECT", []string{"n"}, []any{1}, []any{2})
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		var n int
		_, several := eventfabric.Get[int](tx, "SELECT n FROM seen")
		for _, err := range []error{several, tx.QueryRow("SELECT n FROM seen").Scan(&n)} {
			if err == nil || err.Error() != "2 rows where one is expected: SELECT n FROM seen" {
				t.Errorf("%v", err)
			}
		}
		_, none := eventfabric.Get[int](tx, "SELECT n FROM seen")
		for _, err := range []error{none, tx.QueryRow("SELECT n FROM seen").Scan(&n)} {
			if !errors.Is(err, eventfabric.ErrNoRows) || err.Error() != "no row where one is expected: SELECT n FROM seen" {
				t.Errorf("%v", err)
			}
		}
		return nil
	})
	if failure != nil {
		t.Error(failure)
	}
}

func TestAParameterThatIsNoneIsNamed(t *testing.T) {
	failure := run(t, &eventfabrictest.RecordingTx{}, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		return tx.Run(insert, 1, map[string]int{})
	})
	want := "parameter $2: map[string]int is no type that PostgreSQL has; eventfabric.JSON(…) makes JSON of it"
	if failure == nil || failure.Kind != eventfabric.KindFatal || failure.Error() != want {
		t.Errorf("%v", failure)
	}
}

func TestABatchGetsItsEventsTyped(t *testing.T) {
	type opened struct {
		Owner string `json:"owner"`
	}
	type closed struct{}
	var got []any
	projection := eventfabric.Projection{
		Name: "batches",
		Batch: eventfabric.OnBatch(func(tx *eventfabric.Tx, events []eventfabric.Event[any]) error {
			for _, event := range events {
				got = append(got, event.Data)
			}
			return events[1].Blame(errors.New("by hand"))
		}, eventfabric.TypeOf[opened]("Opened"), eventfabric.TypeOf[closed]("Closed")),
	}
	err := eventfabrictest.Run(projection, &eventfabrictest.RecordingTx{},
		eventfabrictest.Event("Opened", `{"owner": "Ada"}`), eventfabrictest.Event("Closed", `{}`))
	failure, ok := errors.AsType[*eventfabric.Failure](err)
	if !ok || failure.Event != 1 || !reflect.DeepEqual(got, []any{opened{"Ada"}, closed{}}) {
		t.Errorf("%v; %v", got, err)
	}
}
