package eventfabric

import (
	"encoding/json/jsontext"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"uuid"
)

// Rows is the result of a query: for each row a Next, and a Scan.
type Rows struct {
	set       *RowSet
	statement string
	next      int
}

// Columns are the names of the columns.
func (r *Rows) Columns() []string { return r.set.Columns }

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.set.Rows) }

// Next steps to the next row, the first one at first.
func (r *Rows) Next() bool {
	r.next++
	return r.next <= len(r.set.Rows)
}

// Scan reads the row into what the pointers point to, one a column. An integer fits any integer that holds it, text
// fits Go's strings, NULL a pointer, a slice or an sql.Null. Anything else is an error that names the column; it is
// fatal, as the projection and its tables do not fit.
func (r *Rows) Scan(to ...any) error {
	row := r.set.Rows[r.next-1]
	if len(row) != len(to) {
		return Fatalf("%d columns for %d values: %s", len(row), len(to), r.statement)
	}
	for i, value := range row {
		if err := scan(value, to[i]); err != nil {
			return Fatalf("column `%s` %w: %s", r.set.Columns[i], err, r.statement)
		}
	}
	return nil
}

// Row is the one row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the row as [Rows.Scan] does. Without a row the error is [ErrNoRows]; several rows are an error, too.
func (r *Row) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	switch n := r.rows.Len(); n {
	case 0:
		return fmt.Errorf("%w: %s", ErrNoRows, r.rows.statement)
	case 1:
		r.rows.Next()
		return r.rows.Scan(to...)
	default:
		return Fatalf("%d rows where one is expected: %s", n, r.rows.statement)
	}
}

// Select returns the rows of a query. T is a struct whose fields have the names of the columns (in snake case, or by a
// tag `db:"name"`), or for a query of one column the type of its values.
func Select[T any](tx *Tx, statement string, args ...any) ([]T, error) {
	rows, err := tx.Query(statement, args...)
	if err != nil {
		return nil, err
	}
	places, err := placesOf(reflect.TypeFor[T](), rows.set.Columns)
	if err != nil {
		return nil, Fatalf("%w: %s", err, statement)
	}
	all := make([]T, rows.Len())
	for i := range all {
		rows.Next()
		if err := rows.Scan(fieldPointers(&all[i], places)...); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Get returns the one row of a query as [Select] does. Without a row the error is [ErrNoRows].
func Get[T any](tx *Tx, statement string, args ...any) (T, error) {
	var one T
	all, err := Select[T](tx, statement, args...)
	switch {
	case err != nil:
		return one, err
	case len(all) == 0:
		return one, fmt.Errorf("%w: %s", ErrNoRows, statement)
	case len(all) > 1:
		return one, Fatalf("%d rows where one is expected: %s", len(all), statement)
	}
	return all[0], nil
}

// scanner is the Scanner of database/sql.
type scanner interface{ Scan(from any) error }

var (
	scannerType = reflect.TypeFor[scanner]()
	timeType    = reflect.TypeFor[time.Time]()
	otherType   = reflect.TypeFor[Other]()
)

// placesOf finds the field of each column; none where T is no struct of fields but the value of one column.
func placesOf(t reflect.Type, columns []string) ([][]int, error) {
	if t.Kind() != reflect.Struct || t == timeType || t == otherType || reflect.PointerTo(t).Implements(scannerType) {
		return nil, nil
	}
	fields := map[string][]int{}
	for _, field := range reflect.VisibleFields(t) {
		name := field.Tag.Get("db")
		if name == "" {
			name = snakeCase(field.Name)
		}
		if field.IsExported() && !field.Anonymous && name != "-" {
			fields[name] = field.Index
		}
	}
	places := make([][]int, len(columns))
	for i, column := range columns {
		if places[i] = fields[column]; places[i] == nil {
			return nil, fmt.Errorf("column `%s` has no field in %s", column, t)
		}
		delete(fields, column)
	}
	for name := range fields {
		return nil, fmt.Errorf("no column `%s`, which %s has", name, t)
	}
	return places, nil
}

func fieldPointers[T any](to *T, places [][]int) []any {
	if places == nil {
		return []any{to}
	}
	fields := make([]any, len(places))
	for i, place := range places {
		fields[i] = reflect.ValueOf(to).Elem().FieldByIndex(place).Addr().Interface()
	}
	return fields
}

func snakeCase(name string) string {
	runes := []rune(name)
	var out strings.Builder
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// scan puts a value of a row into what a pointer points to.
func scan(value, to any) error {
	switch to := to.(type) {
	case *any:
		*to = value
		return nil
	case *string:
		if text, ok := value.(string); ok {
			*to = text
			return nil
		}
	case *int64:
		if number, ok := value.(int64); ok {
			*to = number
			return nil
		}
	case *time.Time:
		if at, ok := value.(time.Time); ok {
			*to = at
			return nil
		}
	case scanner:
		return to.Scan(driverValue(value))
	}
	pointer := reflect.ValueOf(to)
	if pointer.Kind() != reflect.Pointer || pointer.IsNil() {
		return fmt.Errorf("is scanned into a %T, which is no pointer", to)
	}
	return set(value, pointer.Elem())
}

// set puts a value into a variable of any type that takes it.
func set(value any, to reflect.Value) error {
	if value == nil {
		switch to.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
			to.SetZero()
			return nil
		}
		return fmt.Errorf("is NULL, and a %s can't be", to.Type())
	}
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		return scan(value, to.Interface())
	}
	from := reflect.ValueOf(value)
	if from.Type() == to.Type() {
		to.Set(from)
		return nil
	}
	switch value.(type) {
	case int16, int32, int64:
		if to.CanInt() && !to.OverflowInt(from.Int()) {
			to.SetInt(from.Int())
			return nil
		}
		if to.CanUint() && from.Int() >= 0 && !to.OverflowUint(uint64(from.Int())) {
			to.SetUint(uint64(from.Int()))
			return nil
		}
	case float32, float64:
		if to.Kind() == reflect.Float64 || to.Kind() == from.Kind() {
			to.SetFloat(from.Float())
			return nil
		}
	case bool:
		if to.Kind() == reflect.Bool {
			to.SetBool(from.Bool())
			return nil
		}
	case []byte, jsontext.Value:
		if to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes(from.Bytes())
			return nil
		}
	case uuid.UUID:
		if from.CanConvert(to.Type()) {
			to.Set(from.Convert(to.Type()))
			return nil
		}
	}
	if text, ok := textOf(value); ok && to.Kind() == reflect.String && to.Type() != reflect.TypeFor[Numeric]() {
		to.SetString(text)
		return nil
	}
	if from.Kind() == reflect.Slice && to.Kind() == reflect.Slice {
		return setSlice(from, to)
	}
	return fmt.Errorf("is %s, which does not fit a %s", kindOf(value), to.Type())
}

func setSlice(from, to reflect.Value) error {
	items := reflect.MakeSlice(to.Type(), from.Len(), from.Len())
	for i := range from.Len() {
		item := from.Index(i)
		var value any
		if !item.IsNil() {
			if item.Kind() == reflect.Pointer {
				item = item.Elem()
			}
			value = item.Interface()
		}
		if err := scan(value, items.Index(i).Addr().Interface()); err != nil {
			return fmt.Errorf("item %d %w", i+1, err)
		}
	}
	to.Set(items)
	return nil
}

// textOf is the text of a value that is nothing but text in Go.
func textOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case Numeric:
		return string(v), true
	case Other:
		return v.Text, true
	case uuid.UUID:
		return v.String(), true
	case jsontext.Value:
		return string(v), true
	}
	return "", false
}

// driverValue is a value as scanners of database/sql know it.
func driverValue(value any) any {
	switch v := value.(type) {
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case Date:
		return v.Time()
	case jsontext.Value:
		return []byte(v)
	}
	if text, ok := textOf(value); ok {
		return text
	}
	return value
}

// kindOf is PostgreSQL's name for the type of a value.
func kindOf(value any) string {
	switch v := value.(type) {
	case bool:
		return "boolean"
	case int16:
		return "smallint"
	case int32:
		return "integer"
	case int64:
		return "bigint"
	case float32:
		return "real"
	case float64:
		return "double precision"
	case Numeric:
		return "numeric"
	case string:
		return "text"
	case []byte:
		return "bytea"
	case uuid.UUID:
		return "uuid"
	case time.Time:
		return "timestamptz"
	case Date:
		return "date"
	case jsontext.Value:
		return "json"
	case Other:
		return v.Type
	}
	return "an array"
}
