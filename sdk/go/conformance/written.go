package main

import (
	"encoding/hex"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"strconv"
	"strings"
	"time"
	"uuid"

	"eventfabric.dev/eventfabric"
)

// column is a column of `written`, with its values' way from text to Go's own type and back.
type column struct {
	name string
	// parse makes a parameter of the JSON that the event holds.
	parse func(text jsontext.Value) (any, error)
	// target is what a row is scanned into.
	target func() any
	// show is nil for floats and JSON, whose text is not told.
	show func(target any) any
}

var columns = join(
	kind("bool", strconv.ParseBool, strconv.FormatBool),
	kind("int16", parseInt[int16](16), formatInt[int16]),
	kind("int32", parseInt[int32](32), formatInt[int32]),
	kind("int64", parseInt[int64](64), formatInt[int64]),
	kind("float32", func(text string) (float32, error) {
		number, err := strconv.ParseFloat(text, 32)
		return float32(number), err
	}, nil),
	kind("float64", func(text string) (float64, error) { return strconv.ParseFloat(text, 64) }, nil),
	kind("numeric", parseText[eventfabric.Numeric], formatText[eventfabric.Numeric]),
	kind("text", parseText[string], formatText[string]),
	kind("bytes", hex.DecodeString, hex.EncodeToString),
	kind("uuid", uuid.Parse, uuid.UUID.String),
	kind("timestamptz", func(text string) (time.Time, error) {
		micros, err := strconv.ParseInt(text, 10, 64)
		return time.UnixMicro(micros), err
	}, func(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }),
	kind("date", parseInt[eventfabric.Date](32), formatInt[eventfabric.Date]),
	kind("json", func(text string) (jsontext.Value, error) { return jsontext.Value(text), nil }, nil),
	kind("mood", parseOther("mood"), otherText)[:1],
	kind("span", parseOther("interval"), otherText)[:1],
)

func join(kinds ...[]column) []column {
	var all []column
	for i := range 2 { // those of arrays come last
		for _, kind := range kinds {
			if i < len(kind) {
				all = append(all, kind[i])
			}
		}
	}
	return all
}

// kind makes the column of a type, and that of its array.
func kind[T any](name string, parse func(string) (T, error), show func(T) string) []column {
	item := func(text *string) (*T, error) {
		if text == nil {
			return nil, nil
		}
		value, err := parse(*text)
		return &value, err
	}
	one := column{name: name, target: func() any { return new(*T) }}
	one.parse = func(text jsontext.Value) (any, error) {
		var value *string
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, err
		}
		return item(value)
	}
	array := column{name: name + "_array", target: func() any { return new([]*T) }}
	array.parse = func(text jsontext.Value) (any, error) {
		var values []*string
		if err := json.Unmarshal(text, &values); err != nil {
			return nil, err
		}
		items := make([]*T, len(values))
		for i, value := range values {
			var err error
			if items[i], err = item(value); err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	if show != nil {
		shown := func(item *T) any {
			if item == nil {
				return nil
			}
			return show(*item)
		}
		one.show = func(target any) any { return shown(*target.(**T)) }
		array.show = func(target any) any {
			items := *target.(*[]*T)
			if items == nil {
				return nil
			}
			texts := make([]any, len(items))
			for i, item := range items {
				texts[i] = shown(item)
			}
			return texts
		}
	}
	return []column{one, array}
}

func parseInt[T ~int16 | ~int32 | ~int64](bits int) func(string) (T, error) {
	return func(text string) (T, error) {
		number, err := strconv.ParseInt(text, 10, bits)
		return T(number), err
	}
}

func formatInt[T ~int16 | ~int32 | ~int64](number T) string {
	return strconv.FormatInt(int64(number), 10)
}

func parseText[T ~string](text string) (T, error) { return T(text), nil }

func formatText[T ~string](text T) string { return string(text) }

func parseOther(kind string) func(string) (eventfabric.Other, error) {
	return func(text string) (eventfabric.Other, error) {
		return eventfabric.Other{Type: kind, Text: text}, nil
	}
}

func otherText(value eventfabric.Other) string { return value.Text }

type Written struct {
	Name   string                    `json:"name"`
	Values map[string]jsontext.Value `json:"values"`
}

func written(tx *eventfabric.Tx, e eventfabric.Event[Written]) error {
	names, targets, params := []string{"name"}, []any{new(string)}, []any{e.Data.Name}
	for _, column := range columns {
		names, targets = append(names, column.name), append(targets, column.target())
		text, ok := e.Data.Values[column.name]
		if !ok {
			params = append(params, nil)
			continue
		}
		value, err := column.parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", column.name, err)
		}
		params = append(params, value)
	}
	if err := tx.Run(insertInto("written", names), params...); err != nil {
		return err
	}
	row := tx.QueryRow("SELECT "+strings.Join(names, ", ")+" FROM written WHERE name = $1", e.Data.Name)
	if err := row.Scan(targets...); err != nil {
		return err
	}
	if err := tx.Run(insertInto("echoed", names), targets...); err != nil {
		return err
	}
	shown := map[string]any{}
	for i, column := range columns {
		if column.show != nil {
			if text := column.show(targets[i+1]); text != nil {
				shown[column.name] = text
			}
		}
	}
	return tx.Run("INSERT INTO shown (name, shown) VALUES ($1, $2)", e.Data.Name, eventfabric.JSON(shown))
}

func insertInto(table string, names []string) string {
	places := make([]string, len(names))
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(places, ", ") + ")"
}
