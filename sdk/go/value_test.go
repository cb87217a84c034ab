package eventfabric_test

import (
	"database/sql"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"uuid"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

func pointer[T any](v T) *T { return &v }

type (
	level int16
	mood  string
)

func TestParametersAreExact(t *testing.T) {
	id := uuid.MustParse("0189f8a4-7b1c-7def-8123-456789abcdef")
	at := time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	for _, c := range [][2]any{
		{nil, nil},
		{true, true},
		{int8(-1), int16(-1)},
		{uint8(255), int16(255)},
		{uint16(65535), int32(65535)},
		{uint32(math.MaxUint32), int64(math.MaxUint32)},
		{math.MaxInt64, int64(math.MaxInt64)},
		{uint64(math.MaxUint64), eventfabric.Numeric("18446744073709551615")},
		{level(3), int16(3)},
		{mood("good"), "good"},
		{float32(0.1), float32(0.1)},
		{0.1, 0.1},
		{[]byte{}, []byte{}},
		{[]byte(nil), nil},
		{id, id},
		{[16]byte(id), id},
		{at, time.UnixMicro(-3600_000_001).UTC()},
		{eventfabric.Date(-1), eventfabric.Date(-1)},
		{json.RawMessage(`{"a": 1}`), json.RawMessage(`{"a": 1}`)},
		{eventfabric.JSON(map[string]int{"b": 1, "a": 2}), json.RawMessage(`{"a":2,"b":1}`)},
		{eventfabric.Other{Text: "1 day"}, eventfabric.Other{Text: "1 day"}},
		{pointer("x"), "x"},
		{(*string)(nil), nil},
		{sql.NullInt64{}, nil},
		{sql.NullInt64{Int64: 7, Valid: true}, int64(7)},
		{(*sql.NullInt64)(nil), nil},
		{[]string(nil), nil},
		{[]string{"a", ""}, []*string{pointer("a"), pointer("")}},
		{[]*int{pointer(1), nil}, []*int64{pointer(int64(1)), nil}},
		{[]mood{"good"}, []*string{pointer("good")}},
		{[][]byte{{1}, nil}, [][]byte{{1}, nil}},
		{[]uuid.UUID{id}, []*uuid.UUID{&id}},
		{[]json.RawMessage{json.RawMessage("1")}, []json.RawMessage{json.RawMessage("1")}},
	} {
		if got := eventfabrictest.Params(c[0])[0]; !reflect.DeepEqual(got, c[1]) {
			t.Errorf("%#v became %#v, not %#v", c[0], got, c[1])
		}
	}
	for _, arg := range []any{struct{}{}, map[string]int{}, make(chan int), []any{1}, []uint64{math.MaxUint64}, [3]int{}} {
		if got, err := eventfabric.Params(arg); err == nil {
			t.Errorf("%#v became %#v", arg, got)
		}
	}
}

func scanned[T any](t *testing.T, value any) (T, error) {
	t.Helper()
	db := &eventfabrictest.RecordingTx{}
	db.Answer("SELECT", []string{"c"}, []any{value})
	var got T
	var err error
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		got, err = eventfabric.Get[T](tx, "SELECT c")
		return nil
	})
	if failure != nil {
		t.Fatal(failure)
	}
	return got, err
}

func fits[T any](t *testing.T, value any, want T) {
	t.Helper()
	if got, err := scanned[T](t, value); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v was read as %#v, not %#v: %v", value, got, want, err)
	}
}

func misfits[T any](t *testing.T, value any, words string) {
	t.Helper()
	got, err := scanned[T](t, value)
	failure, ok := err.(*eventfabric.Failure)
	if !ok || failure.Kind != eventfabric.KindFatal || err.Error() != "column `c` "+words+": SELECT c" {
		t.Errorf("%#v was read as %#v: %v", value, got, err)
	}
}

func TestValuesOfRowsFitWhateverHoldsThem(t *testing.T) {
	id := uuid.New()
	fits(t, int16(7), 7)
	fits(t, int64(9007199254740993), int64(9007199254740993))
	fits(t, int64(200), uint8(200))
	fits(t, float32(0.5), 0.5)
	fits(t, "x", mood("x"))
	fits(t, "x", pointer("x"))
	fits(t, nil, (*int64)(nil))
	fits(t, nil, []byte(nil))
	fits(t, nil, sql.NullString{})
	fits(t, "x", sql.NullString{String: "x", Valid: true})
	fits(t, int32(1), sql.NullInt64{Int64: 1, Valid: true})
	fits(t, eventfabric.Numeric("1.50"), "1.50")
	fits(t, eventfabric.Numeric("1.50"), eventfabric.Numeric("1.50"))
	fits(t, eventfabric.Other{Type: "mood", Text: "good"}, mood("good"))
	fits(t, id, id)
	fits(t, id, [16]byte(id))
	fits(t, time.UnixMicro(-1), time.UnixMicro(-1).UTC())
	fits(t, eventfabric.Date(1), eventfabric.Date(1))
	fits(t, json.RawMessage("1"), json.RawMessage("1"))
	fits(t, []int64{1, 2}, []int{1, 2})
	fits(t, []*string{pointer("a"), nil}, []*string{pointer("a"), nil})
	fits(t, []string{}, []string{})
	fits(t, true, any(true))
}

func TestAValueThatDoesNotFitNamesItsColumn(t *testing.T) {
	misfits[int64](t, "x", "is text, which does not fit a int64")
	misfits[int8](t, int64(128), "is bigint, which does not fit a int8")
	misfits[uint](t, int64(-1), "is bigint, which does not fit a uint")
	misfits[int64](t, nil, "is NULL, and a int64 can't be")
	misfits[float32](t, 0.1, "is double precision, which does not fit a float32")
	misfits[eventfabric.Numeric](t, "x", "is text, which does not fit a eventfabric.Numeric")
	misfits[[]string](t, []*string{nil}, "item 1 is NULL, and a string can't be")
	misfits[string](t, []string{}, "is an array, which does not fit a string")
}

func TestRowsAreReadIntoStructs(t *testing.T) {
	type flight struct {
		FlightNo  int
		ArrivedAt *time.Time
		URLPath   string
		Name      string `db:"title"`
		Ignored   int    `db:"-"`
	}
	for _, c := range []struct {
		columns []string
		words   string
	}{
		{[]string{"flight_no", "arrived_at", "url_path", "title"}, ""},
		{[]string{"flight_no", "arrived_at", "url_path", "name"}, "column `name` has no field in eventfabric_test.flight"},
		{[]string{"flight_no", "arrived_at", "url_path"}, "no column `title`, which eventfabric_test.flight has"},
	} {
		db := &eventfabrictest.RecordingTx{}
		db.Answer("SELECT", c.columns, []any{1, nil, "/x", "a"}[:len(c.columns)])
		var got []flight
		failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) (err error) {
			got, err = eventfabric.Select[flight](tx, "SELECT *")
			return err
		})
		if c.words == "" {
			if want := []flight{{FlightNo: 1, URLPath: "/x", Name: "a"}}; failure != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v, %v", got, failure)
			}
		} else if failure == nil || failure.Kind != eventfabric.KindFatal || !strings.HasPrefix(failure.Error(), c.words) {
			t.Errorf("%v, not %s", failure, c.words)
		}
	}
}
