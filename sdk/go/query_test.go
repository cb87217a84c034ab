package eventfabric_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"uuid"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

type kind string

type page struct {
	Limit *int32 `text:"How many"`
}

type wanted struct {
	Kind kind `text:"Which one"`
	page
	OnlyOpen bool                `param:"open"`
	Above    float64             //
	Price    eventfabric.Numeric //
	ID       uuid.UUID           //
	Since    *time.Time          //
	Day      *eventfabric.Date   //
}

type Rows = eventfabric.Rows

var things = []eventfabric.Query{
	eventfabric.OnQuery("all", "All of them", func(tx *eventfabric.Tx, p wanted) (*Rows, error) {
		return tx.Query("SELECT n FROM things", p.Kind, p.Limit, p.OnlyOpen, p.Above, p.Price, p.ID, p.Since, p.Day)
	}),
	eventfabric.OnTenantQuery("own", "", func(tx *eventfabric.Tx, tenant string, _ struct{}) (*Rows, error) {
		return tx.Query("SELECT n FROM things WHERE tenant = $1", tenant)
	}),
	eventfabric.OnQuery("careless", "", func(tx *eventfabric.Tx, _ struct{}) (*Rows, error) {
		_, _ = tx.Query("SELECT nothing")
		return eventfabric.NewRows([]string{"n"}, []any{1})
	}),
	eventfabric.OnQuery("panics", "", func(tx *eventfabric.Tx, _ struct{}) (*Rows, error) {
		panic("unforeseen")
	}),
	eventfabric.OnQuery("nothing", "", func(tx *eventfabric.Tx, _ struct{}) (*Rows, error) { return nil, nil }),
	eventfabric.OnQuery("made", "", func(tx *eventfabric.Tx, _ struct{}) (*Rows, error) {
		return eventfabric.NewRows([]string{"a", "b"}, []any{1, nil}, []any{"x"})
	}),
}

func TestAStructDescribesTheParameters(t *testing.T) {
	described, err := eventfabric.DescribeQueries(things)
	if err != nil {
		t.Fatal(err)
	}
	all := described[0]
	if all.Name != "all" || all.Text != "All of them" || all.PerTenant || !described[1].PerTenant {
		t.Errorf("%+v", described)
	}
	var params []string
	for _, param := range all.Params {
		params = append(params, param.Name)
	}
	want := []string{"kind", "limit", "open", "above", "price", "id", "since", "day"}
	if !reflect.DeepEqual(params, want) {
		t.Errorf("got %v, want %v", params, want)
	}
	types := []eventfabric.ParamType{
		eventfabric.ParamText, eventfabric.ParamInt64, eventfabric.ParamBool, eventfabric.ParamFloat64,
		eventfabric.ParamNumeric, eventfabric.ParamUUID, eventfabric.ParamTimestamptz, eventfabric.ParamDate,
	}
	for i, param := range all.Params {
		optional := strings.Contains("limit since day", param.Name)
		if param.Type != types[i] || param.Required == optional {
			t.Errorf("%+v", param)
		}
	}
	if kind := all.Params[0]; kind.Text != "Which one" {
		t.Errorf("%+v", kind)
	}
}

func given(more map[string]any) map[string]any {
	params := map[string]any{"kind": "x", "open": true, "above": 0.5, "price": eventfabric.Numeric("12.50"), "id": uuid.Nil()}
	for name, value := range more {
		params[name] = value
	}
	return params
}

func TestParametersReachTheStatement(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	db.Answer("SELECT n", []string{"n"}, []any{int64(1<<53 + 1)})
	at := time.Date(1969, 1, 2, 3, 4, 5, 6000, time.UTC)
	rows, err := eventfabrictest.Query(things, db, "all", given(map[string]any{"limit": 3, "since": at}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (&eventfabric.RowSet{Columns: []string{"n"}, Rows: [][]any{{int64(1<<53 + 1)}}}); !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
	if _, err := eventfabrictest.Query(things, db, "own", nil); err != nil {
		t.Fatal(err)
	}
	want := [][]any{
		eventfabrictest.Params("x", int32(3), true, 0.5, eventfabric.Numeric("12.50"), uuid.Nil(), at, nil),
		{"default"},
	}
	if got := db.CallsOf("SELECT n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAQueryThatFails(t *testing.T) {
	for _, test := range []struct {
		query  string
		params map[string]any
		kind   eventfabric.FailureKind
		part   string
	}{
		{"all", nil, eventfabric.KindPoison, "parameter kind is missing"},
		{"all", given(map[string]any{"limit": 1 << 31}), eventfabric.KindPoison, "parameter limit is bigint, which does not fit a int32"},
		{"all", given(map[string]any{"open": "yes"}), eventfabric.KindPoison, "parameter open is text"},
		{"no", nil, eventfabric.KindPoison, `no query "no"`},
		{"nothing", nil, eventfabric.KindFatal, "neither rows nor an error"},
		{"panics", nil, eventfabric.KindFatal, "panic: unforeseen"},
		{"made", nil, eventfabric.KindFatal, "row 1 has 1 values for 2 columns (a, b)"},
		{"careless", nil, eventfabric.KindFatal, "no such column"},
	} {
		db := &eventfabrictest.RecordingTx{}
		db.Fail("SELECT nothing", eventfabric.SQLError{Kind: eventfabric.SQLInvalid, Message: "no such column"})
		_, err := eventfabrictest.Query(things, db, test.query, test.params)
		failure, ok := errors.AsType[*eventfabric.Failure](err)
		if !ok || failure.Kind != test.kind || failure.Event != eventfabric.NoEvent || !strings.Contains(err.Error(), test.part) {
			t.Errorf("%s: got %v, want %v: %s", test.query, err, test.kind, test.part)
		}
	}
}

func TestAQueryThatIsNotWellMade(t *testing.T) {
	for part, query := range map[string]eventfabric.Query{
		`"By-Day" is not`:           named[struct{}]("By-Day"),
		"a struct, and int is none": named[int]("q"),
		"field when of struct":      named[struct{ when time.Time }]("q"),
		"field Of is a []string":    named[struct{ Of []string }]("q"),
		`two parameters "at"`:       named[struct{ At, AT string }]("q"),
		`"größe", of field Größe`:   named[struct{ Größe string }]("q"),
		"field N is a uint8":        named[struct{ N uint8 }]("q"),
	} {
		if _, err := eventfabric.DescribeQueries([]eventfabric.Query{query}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %s", err, part)
		}
	}
	twice := []eventfabric.Query{named[struct{}]("q"), named[struct{}]("q")}
	if _, err := eventfabric.DescribeQueries(twice); err == nil || err.Error() != `there are two queries "q"` {
		t.Error(err)
	}
}

func named[P any](name string) eventfabric.Query {
	return eventfabric.OnQuery(name, "", func(tx *eventfabric.Tx, _ P) (*Rows, error) { return tx.Query("SELECT 1") })
}
