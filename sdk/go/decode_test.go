package eventfabric_test

import (
	"database/sql"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"uuid"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

type address struct {
	City string `json:"city"`
}

type node struct {
	Name     string `json:"name"`
	Children []node `json:"children"`
}

type payload struct {
	Text     string              `json:"text"`
	Big      int64               `json:"big"`
	Small    int8                `json:"small"`
	Price    eventfabric.Numeric `json:"price"`
	ID       uuid.UUID           `json:"id"`
	At       time.Time           `json:"at"`
	Day      eventfabric.Date    `json:"day"`
	Flag     bool                `json:"flag"`
	Rate     float64             `json:"rate"`
	Address  address             `json:"address"`
	Tree     node                `json:"tree"`
	Optional *string             `json:"optional"`
	List     []address           `json:"list"`
	ByName   map[string]address  `json:"by_name"`
	Raw      json.RawMessage     `json:"raw"`
	Any      any                 `json:"any"`
	Zero     int                 `json:"zero,omitzero"`
	Null     sql.NullInt64       `json:"null"`
}

const whole = `{"text": "a\"ä", "big": 9007199254740993, "small": -128, "price": 12.50, "id": "0189f8a4-7b1c-7def-8123-456789abcdef",
	"at": "1969-12-31T23:59:59.999999Z", "day": "2013-01-31", "flag": true, "rate": 0.5, "address": {"city": "Ulm", "zip": 1},
	"tree": {"name": "a", "children": [{"name": "b"}]}, "list": [{"city": "Bonn"}], "by_name": {"x": {"city": "Köln"}}, "raw": {"a": [1, 2]},
	"any": [null], "unknown": {"x": []}}`

func decode[T any](text string) (T, error) {
	var got T
	projection := eventfabric.Projection{Name: "decode", Handlers: []eventfabric.Handler{
		eventfabric.On("Opened", func(tx *eventfabric.Tx, e eventfabric.Event[T]) error {
			got = e.Data
			return nil
		}),
	}}
	event := eventfabrictest.Event("Opened", "{}")
	event.Payload = text
	return got, eventfabrictest.Run(projection, &eventfabrictest.RecordingTx{}, event)
}

func TestAPayloadIsReadIntoGosOwnTypes(t *testing.T) {
	got, err := decode[payload](whole)
	if err != nil {
		t.Fatal(err)
	}
	want := payload{
		Text: "a\"ä", Big: 9007199254740993, Small: -128, Price: "12.50",
		ID: uuid.MustParse("0189f8a4-7b1c-7def-8123-456789abcdef"), At: time.UnixMicro(-1).UTC(), Day: 15736, Flag: true, Rate: 0.5,
		Address: address{"Ulm"}, Tree: node{Name: "a", Children: []node{{Name: "b"}}}, List: []address{{"Bonn"}},
		ByName: map[string]address{"x": {"Köln"}}, Raw: json.RawMessage(`{"a": [1, 2]}`), Any: []any{nil},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nnot %+v", got, want)
	}
}

func TestTheTextItselfAndLooseFieldsAreRead(t *testing.T) {
	raw, err := decode[json.RawMessage](`{"n": 9007199254740993}`)
	if err != nil || string(raw) != `{"n": 9007199254740993}` {
		t.Errorf("%s, %v", raw, err)
	}
	fields, err := decode[map[string]any](`{"n": "x"}`)
	if err != nil || fields["n"] != "x" {
		t.Errorf("%v, %v", fields, err)
	}
}

func TestAPayloadThatDoesNotFitIsPoisonAndNamesTheField(t *testing.T) {
	for _, c := range [][3]string{
		{`"text": "a\"ä",`, ``, "missing field `text`"},
		{`"a\"ä"`, `null`, "field `text`: expected a text, found null"},
		{`"a\"ä"`, `1`, "field `text`: expected a text, found 1"},
		{`9007199254740993`, `1.5`, "field `big`: 1.5 is no integer of 64 bits"},
		{`9007199254740993`, `9223372036854775808`, "field `big`: 9223372036854775808 is no integer of 64 bits"},
		{`9007199254740993`, `"1"`, "field `big`: expected an integer, found \"1\""},
		{`-128`, `-129`, "field `small`: -129 is no integer of 8 bits"},
		{`12.50`, `"dear"`, "field `price`: \"dear\" is no decimal number"},
		{`"0189f8a4-7b1c-7def-8123-456789abcdef"`, `"x"`, "field `id`: "},
		{`"1969-12-31T23:59:59.999999Z"`, `"soon"`, "field `at`: "},
		{`"1969-12-31T23:59:59.999999Z"`, `null`, "field `at`: expected a time.Time, found null"},
		{`true`, `"yes"`, "field `flag`: expected true or false, found string"},
		{`0.5`, `null`, "field `rate`: expected a number, found null"},
		{`"zip": 1`, `"city": 2`, "field `address.city`: expected a text, found 2"},
		{`{"city": "Ulm", "zip": 1}`, `{}`, "field `address`: missing field `city`"},
		{`{"name": "b"}`, `{"name": []}`, "field `tree.children[0].name`: expected a text, found []"},
		{`{"city": "Bonn"}`, `{"city": "Bonn"}, 7`, "field `list[1]`: expected an object, found 7"},
		{`{"city": "Köln"}`, `null`, "field `by_name.x`: expected an object, found null"},
	} {
		_, err := decode[payload](strings.Replace(whole, c[0], c[1], 1))
		failure, ok := err.(*eventfabric.Failure)
		if !ok || failure.Kind != eventfabric.KindPoison || failure.Event != 0 {
			t.Errorf("%s: %v", c[1], err)
			continue
		}
		before := "the payload of Opened version 1 at position 1 (stream Test/1) can't be read: "
		if !strings.HasPrefix(err.Error(), before+c[2]) {
			t.Errorf("%v\nnot %s", err, c[2])
		}
	}
}
