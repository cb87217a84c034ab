package eventfabric

import (
	"bytes"
	"encoding"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unsafe"
)

// decoder reads JSON into a value of one type. encoding/json/v2 does the work; what is added is that a missing field
// is an error, and what is not read costs little.
type decoder func(from *jsontext.Decoder, to reflect.Value) error

// text reads the JSON text of an event.
func (d decoder) text(payload string, to any) error {
	from := jsontext.NewDecoder(
		bytes.NewBuffer(unsafe.Slice(unsafe.StringData(payload), len(payload))), // which it does not write to
		jsontext.AllowDuplicateNames(true),                                      // as PostgreSQL does: the last one counts
	)
	return d(from, reflect.ValueOf(to).Elem())
}

func missing(field string) error { return fmt.Errorf("missing field `%s`", field) }

// misfit is a value in the payload that does not fit, with the way to it.
type misfit struct {
	path string
	err  error
}

func (m *misfit) Error() string {
	return fmt.Sprintf("field `%s`: %v", strings.TrimPrefix(m.path, "."), m.err)
}

func (m *misfit) Unwrap() error { return m.err }

func within(part string, err error) error {
	if inner, ok := err.(*misfit); ok {
		inner.path = part + inner.path
		return inner
	}
	return &misfit{part, err}
}

// expected says what is wanted, and what was found instead.
func expected(what string, from *jsontext.Decoder) error {
	found, err := from.ReadValue()
	if err != nil {
		return err
	}
	if len(found) > 40 {
		found = append(found[:37:37], "…"...)
	}
	return fmt.Errorf("expected %s, found %s", what, found)
}

var (
	rawType         = reflect.TypeFor[jsontext.Value]()
	ownDecoders     = []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[encoding.TextUnmarshaler]()}
	decodersOfTypes = map[reflect.Type]*decoder{}
)

// decoderOf makes the decoder of a type, once. Types may hold themselves.
func decoderOf(t reflect.Type) decoder {
	if known, ok := decodersOfTypes[t]; ok {
		if *known != nil {
			return *known
		}
		return func(from *jsontext.Decoder, to reflect.Value) error { return (*known)(from, to) }
	}
	made := new(decoder)
	decodersOfTypes[t] = made
	*made = newDecoder(t)
	return *made
}

func newDecoder(t reflect.Type) decoder {
	if t == rawType {
		return func(from *jsontext.Decoder, to reflect.Value) error {
			value, err := from.ReadValue()
			to.SetBytes(value.Clone())
			return err
		}
	}
	for _, own := range ownDecoders {
		if reflect.PointerTo(t).Implements(own) {
			return decodeBy("a "+t.String(), t)
		}
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Pointer:
		element := decoderOf(t.Elem())
		return orNull(func(from *jsontext.Decoder, to reflect.Value) error {
			to.Set(reflect.New(t.Elem()))
			return element(from, to.Elem())
		})
	case reflect.Struct:
		return structDecoder(t)
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return orNull(sliceDecoder(t))
		}
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return orNull(mapDecoder(t))
		}
	}
	return decodeBy(nameOf(t), t)
}

// decodeBy leaves a value to encoding/json/v2, but for null, which it would take for anything.
func decodeBy(what string, t reflect.Type) decoder {
	nullable := mayBeNull(t)
	return func(from *jsontext.Decoder, to reflect.Value) error {
		if !nullable && from.PeekKind() == 'n' {
			return expected(what, from)
		}
		err := json.UnmarshalDecode(from, to.Addr().Interface())
		if semantic, ok := err.(*json.SemanticError); ok && semantic.Err != nil {
			return semantic.Err
		} else if ok {
			return fmt.Errorf("expected %s, found %s", what, semantic.JSONKind)
		}
		return err
	}
}

func decodeString(from *jsontext.Decoder, to reflect.Value) error {
	if from.PeekKind() != '"' {
		return expected("a text", from)
	}
	token, err := from.ReadToken()
	if err != nil {
		return err
	}
	to.SetString(token.String())
	return nil
}

func decodeInt(from *jsontext.Decoder, to reflect.Value) error {
	if from.PeekKind() != '0' {
		return expected("an integer", from)
	}
	text, err := from.ReadValue()
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(text), len(text)), 10, to.Type().Bits())
	if err != nil {
		return fmt.Errorf("%s is no integer of %d bits", text, to.Type().Bits())
	}
	to.SetInt(number)
	return nil
}

func orNull(decode decoder) decoder {
	return func(from *jsontext.Decoder, to reflect.Value) error {
		if from.PeekKind() == 'n' {
			to.SetZero()
			return from.SkipValue()
		}
		return decode(from, to)
	}
}

// field is a field of a struct, by its name in JSON.
type field struct {
	quoted   string
	name     string
	index    []int
	required bool
	decode   decoder
}

func structDecoder(t reflect.Type) decoder {
	fields := fieldsOf(t)
	if len(fields) > 64 {
		panic(fmt.Sprintf("eventfabric: %s has more than 64 fields", t))
	}
	var required uint64
	for i, field := range fields {
		if field.required {
			required |= 1 << i
		}
	}
	return func(from *jsontext.Decoder, to reflect.Value) error {
		if from.PeekKind() != '{' {
			return expected("an object", from)
		}
		if _, err := from.ReadToken(); err != nil {
			return err
		}
		var seen uint64
		for from.PeekKind() != '}' {
			name, err := from.ReadValue()
			if err != nil {
				return err
			}
			at := indexOf(fields, name)
			if at < 0 {
				if err := from.SkipValue(); err != nil {
					return err
				}
				continue
			}
			field := &fields[at]
			if err := field.decode(from, to.FieldByIndex(field.index)); err != nil {
				return within("."+field.name, err)
			}
			seen |= 1 << at
		}
		for i := range fields {
			if required&^seen&(1<<i) != 0 {
				return missing(fields[i].name)
			}
		}
		_, err := from.ReadToken()
		return err
	}
}

// indexOf finds a field by its name in quotes, as it stands in the text.
func indexOf(fields []field, quoted []byte) int {
	for i := range fields {
		if fields[i].quoted == string(quoted) {
			return i
		}
	}
	if bytes.IndexByte(quoted, '\\') >= 0 {
		if name, err := jsontext.AppendUnquote(nil, quoted); err == nil {
			for i := range fields {
				if fields[i].name == string(name) {
					return i
				}
			}
		}
	}
	return -1
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		if !f.IsExported() || tag == "-" || (f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct) {
			continue
		}
		if name == "" {
			name = f.Name
		}
		optional := mayBeNull(f.Type) || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		decode := decoderOf(f.Type)
		if optional {
			decode = orNull(decode)
		}
		fields = append(fields, field{strconv.Quote(name), name, f.Index, !optional, decode})
	}
	return fields
}

// mayBeNull tells whether a Go value can say that there is none.
func mayBeNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return t.PkgPath() == "database/sql" && strings.HasPrefix(t.Name(), "Null")
}

func sliceDecoder(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	return func(from *jsontext.Decoder, to reflect.Value) error {
		if from.PeekKind() != '[' {
			return expected("a list", from)
		}
		if _, err := from.ReadToken(); err != nil {
			return err
		}
		to.Set(reflect.MakeSlice(t, 0, 4))
		for i := 0; from.PeekKind() != ']'; i++ {
			item := reflect.New(t.Elem()).Elem()
			if err := element(from, item); err != nil {
				return within(fmt.Sprintf("[%d]", i), err)
			}
			to.Set(reflect.Append(to, item))
		}
		_, err := from.ReadToken()
		return err
	}
}

func mapDecoder(t reflect.Type) decoder {
	element := decoderOf(t.Elem())
	return func(from *jsontext.Decoder, to reflect.Value) error {
		if from.PeekKind() != '{' {
			return expected("an object", from)
		}
		if _, err := from.ReadToken(); err != nil {
			return err
		}
		to.Set(reflect.MakeMap(t))
		for from.PeekKind() != '}' {
			name, err := from.ReadToken()
			if err != nil {
				return err
			}
			key := reflect.ValueOf(name.String()).Convert(t.Key())
			item := reflect.New(t.Elem()).Elem()
			if err := element(from, item); err != nil {
				return within("."+key.String(), err)
			}
			to.SetMapIndex(key, item)
		}
		_, err := from.ReadToken()
		return err
	}
}

// nameOf is what a type is called in JSON's words.
func nameOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer that is not negative"
	}
	return "a " + t.String()
}
