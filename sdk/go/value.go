package eventfabric

import (
	"database/sql/driver"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"uuid"
)

// Numeric is a PostgreSQL numeric, exact, as decimal text: `-12.50`, `NaN`, `Infinity`. In JSON it is a number or a
// text.
type Numeric string

// UnmarshalJSON takes a number as it is written, or a text.
func (n *Numeric) UnmarshalJSON(data []byte) error {
	value := jsontext.Value(data)
	switch value.Kind() {
	case '0':
		*n = Numeric(value)
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return err
		}
		if _, ok := decimalOf(Numeric(text)); !ok {
			return fmt.Errorf("%q is no decimal number", text)
		}
		*n = Numeric(text)
	default:
		return fmt.Errorf("%s is no decimal number", value)
	}
	return nil
}

// Date is a PostgreSQL date: days since 1970-01-01. As text and in JSON it is `2013-01-31`.
type Date int32

const secondsOfDay = 24 * 60 * 60

// DateOf is the day of a time, in the time's own zone.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay)
}

// ParseDate reads `2013-01-31`.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	return DateOf(t), err
}

// Time is the beginning of the day in UTC.
func (d Date) Time() time.Time { return time.Unix(int64(d)*secondsOfDay, 0).UTC() }

func (d Date) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText writes `2013-01-31`.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads `2013-01-31`.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// Other is a value of any other type in PostgreSQL's own text form: an enum of the plugin, an interval, an inet. As
// a parameter the type may be empty.
type Other struct {
	Type string
	Text string
}

// JSON is a parameter that holds v as JSON, for json and jsonb. Text that is JSON already is a [jsontext.Value] or a
// json.RawMessage.
func JSON(v any) any { return jsonOf{v} }

type jsonOf struct{ v any }

// Params are parameters as a [Backend] gets them, of what an author may give; see [Tx].
func Params(args ...any) ([]any, error) {
	values := make([]any, len(args))
	for i, arg := range args {
		value, err := param(arg)
		if err != nil {
			return nil, Fatalf("parameter $%d: %w", i+1, err)
		}
		values[i] = value
	}
	return values, nil
}

// param makes one of these of a value: nil, bool, int16, int32, int64, float32, float64, Numeric, string, []byte,
// uuid.UUID, time.Time, Date, jsontext.Value, Other, and for arrays []*T of each but for [][]byte and []jsontext.Value.
func param(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, bool, int16, int32, int64, float32, float64, Numeric, string, uuid.UUID, Date, Other:
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		return unsigned(v), nil
	case time.Time:
		return microsecond(v), nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case jsontext.Value:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case jsonOf:
		text, err := json.Marshal(v.v, json.Deterministic(true))
		return jsontext.Value(text), err
	case driver.Valuer:
		if pointer := reflect.ValueOf(v); pointer.Kind() == reflect.Pointer && pointer.IsNil() {
			return nil, nil
		}
		value, err := v.Value()
		if err != nil {
			return nil, err
		}
		return param(value)
	}
	v := reflect.ValueOf(arg)
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return param(v.Elem().Interface())
	case reflect.Slice:
		return arrayParam(v)
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Len() == len(uuid.UUID{}) {
			var id uuid.UUID
			reflect.Copy(reflect.ValueOf(&id).Elem(), v)
			return id, nil
		}
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Int8, reflect.Int16:
		return int16(v.Int()), nil
	case reflect.Int32:
		return int32(v.Int()), nil
	case reflect.Int, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint8:
		return int16(v.Uint()), nil
	case reflect.Uint16:
		return int32(v.Uint()), nil
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return unsigned(v.Uint()), nil
	case reflect.Float32:
		return float32(v.Float()), nil
	case reflect.Float64:
		return v.Float(), nil
	}
	return nil, fmt.Errorf("%T is no type that PostgreSQL has; eventfabric.JSON(…) makes JSON of it", arg)
}

func unsigned(v uint64) any {
	if v > math.MaxInt64 {
		return Numeric(strconv.FormatUint(v, 10))
	}
	return int64(v)
}

// microsecond cuts off what PostgreSQL can't hold.
func microsecond(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

func arrayParam(v reflect.Value) (any, error) {
	if v.IsNil() {
		return nil, nil
	}
	element := v.Type().Elem()
	if element.Kind() == reflect.Pointer {
		element = element.Elem()
	}
	zero, err := param(reflect.Zero(element).Interface())
	if err != nil {
		return nil, err
	}
	switch zero.(type) {
	case bool:
		return array[bool](v)
	case int16:
		return array[int16](v)
	case int32:
		return array[int32](v)
	case int64:
		return array[int64](v)
	case float32:
		return array[float32](v)
	case float64:
		return array[float64](v)
	case Numeric:
		return array[Numeric](v)
	case string:
		return array[string](v)
	case uuid.UUID:
		return array[uuid.UUID](v)
	case time.Time:
		return array[time.Time](v)
	case Date:
		return array[Date](v)
	}
	switch element {
	case reflect.TypeFor[[]byte]():
		return sliceArray[[]byte](v), nil
	case rawType:
		return sliceArray[jsontext.Value](v), nil
	}
	return nil, fmt.Errorf("%s is no array that PostgreSQL has", v.Type())
}

func array[T any](v reflect.Value) (any, error) {
	items := make([]*T, v.Len())
	for i := range items {
		item, err := param(v.Index(i).Interface())
		if err != nil {
			return nil, err
		}
		switch item := item.(type) {
		case nil:
		case T:
			items[i] = &item
		default:
			return nil, fmt.Errorf("%v does not fit into the array", item)
		}
	}
	return items, nil
}

// sliceArray is an array of slices, of which nil ones are NULL.
func sliceArray[T ~[]byte](v reflect.Value) []T {
	items := make([]T, v.Len())
	for i := range items {
		switch item := v.Index(i).Interface().(type) {
		case T:
			items[i] = item
		case *T:
			if item != nil {
				items[i] = *item
			}
		}
	}
	return items
}

// heapBytes is about how much a parameter holds outside of itself.
func heapBytes(value any) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case Numeric:
		return len(v)
	case []byte:
		return len(v)
	case jsontext.Value:
		return len(v)
	case Other:
		return len(v.Type) + len(v.Text)
	case []*string:
		return sum(v, func(text *string) int {
			if text == nil {
				return 0
			}
			return len(*text)
		})
	case [][]byte:
		return sum(v, func(bytes []byte) int { return len(bytes) })
	case []jsontext.Value:
		return sum(v, func(json jsontext.Value) int { return len(json) })
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		return v.Len() * 8
	}
	return 0
}

func sum[T any](items []T, size func(T) int) int {
	bytes := len(items) * 8
	for _, item := range items {
		bytes += size(item)
	}
	return bytes
}
