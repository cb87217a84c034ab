package eventfabric

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"uuid"
)

// ExportQueries is for package queries, whose Export it is but for the functions that the host calls: these must be linked,
// too, and only into components that have queries.
func ExportQueries(queries ...Query) {
	if err := exportQueries(queries); err != nil {
		panic("eventfabric: " + err.Error())
	}
}

// Query is a question that the plugin answers from its tables: the host serves it at GET /v1/query/PLUGIN/QUERY. See
// [OnQuery] and package queries, which exports them.
type Query struct {
	name, text string
	perTenant  bool
	params     reflect.Type
	answer     func(tx *Tx, tenant string, params reflect.Value) (*Rows, error)
}

// OnQuery has a function answer a query. Its name is `[a-z][a-z0-9_]{0,47}`, its text one sentence for people. It
// answers for all tenants: callers that are confined to some can't ask it.
//
//	type Richest struct {
//		Currency string `text:"Such as EUR"`
//		Limit    *int64 `text:"How many accounts, at most"` // may be left out
//	}
//
//	func richest(tx *eventfabric.Tx, p Richest) (*eventfabric.Rows, error) {
//		return tx.Query("SELECT id, balance FROM accounts WHERE currency = $1 ORDER BY balance DESC LIMIT coalesce($2, 10)",
//			p.Currency, p.Limit)
//	}
//
//	func init() { queries.Export(eventfabric.OnQuery("richest", "The accounts with the most on them", richest)) }
//
// A field of P is a parameter: its name is that of the field in snake case, or in the tag `param`, and its text for
// people in the tag `text`. Fields are of the types bool, int (of any size, signed), float64, string, [Numeric],
// uuid.UUID, time.Time and [Date]; a pointer to one is a parameter that may be left out, and then nil. Without
// parameters P is struct{}. The host checks a request by them before it starts the plugin.
//
// The transaction reads and nothing else: what writes is denied, and each statement sees what was committed when it
// began. There is no clock: make the moment a parameter. An error is the caller's, and told to it (422); those of SQL, a
// panic and what is marked with [Fatal] are the plugin's (500), and [Retry] has the caller come back (503).
func OnQuery[P any](name, text string, answer func(tx *Tx, params P) (*Rows, error)) Query {
	query := OnTenantQuery(name, text, func(tx *Tx, _ string, params P) (*Rows, error) { return answer(tx, params) })
	query.perTenant = false
	return query
}

// OnTenantQuery is [OnQuery] for a query whose answer holds nothing but what belongs to the tenant that it is given.
func OnTenantQuery[P any](name, text string, answer func(tx *Tx, tenant string, params P) (*Rows, error)) Query {
	return Query{name, text, true, reflect.TypeFor[P](), func(tx *Tx, tenant string, params reflect.Value) (*Rows, error) {
		return answer(tx, tenant, params.Interface().(P))
	}}
}

// QueryDescription is what a plugin says of a query to the host.
type QueryDescription struct {
	Name      string
	Text      string
	Params    []ParamDescription
	PerTenant bool
}

// ParamDescription is what a plugin says of a parameter of a query.
type ParamDescription struct {
	Name     string
	Text     string
	Type     ParamType
	Required bool

	field []int
}

// ParamType is what a parameter of a query may be.
type ParamType uint8

const (
	ParamBool ParamType = iota
	ParamInt64
	ParamFloat64
	ParamNumeric
	ParamText
	ParamUUID
	ParamTimestamptz
	ParamDate
)

// QueryRequest is what a caller asks.
type QueryRequest struct {
	Name   string
	Tenant string
	// Params are those that were given, as the values of a [Backend].
	Params map[string]any
}

// isName tells whether a text is [a-z][a-z0-9_]{0,47}.
func isName(text string) bool {
	for i, c := range text {
		if !('a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '_')) {
			return false
		}
	}
	return 0 < len(text) && len(text) <= 48
}

// DescribeQueries makes the descriptions, or says what is wrong with the queries.
func DescribeQueries(queries []Query) ([]QueryDescription, error) {
	var all []QueryDescription
	seen := map[string]bool{}
	for _, query := range queries {
		if !isName(query.name) {
			return nil, fmt.Errorf("a query's name is [a-z][a-z0-9_]{0,47}; %q is not", query.name)
		}
		if seen[query.name] {
			return nil, fmt.Errorf("there are two queries %q", query.name)
		}
		seen[query.name] = true
		params, err := query.describeParams()
		if err != nil {
			return nil, fmt.Errorf("query %q: %w", query.name, err)
		}
		all = append(all, QueryDescription{query.name, query.text, params, query.perTenant})
	}
	return all, nil
}

func (q *Query) describeParams() ([]ParamDescription, error) {
	if q.params.Kind() != reflect.Struct {
		return nil, fmt.Errorf("its parameters are a struct, and %s is none", q.params)
	}
	var params []ParamDescription
	seen := map[string]bool{}
	for _, field := range reflect.VisibleFields(q.params) {
		if field.Anonymous && field.Type.Kind() == reflect.Struct {
			continue // its fields are among them
		}
		if !field.IsExported() {
			return nil, fmt.Errorf("field %s of %s is not exported, so no parameter can be put there", field.Name, q.params)
		}
		name, kind, required := field.Tag.Get("param"), field.Type, true
		if name == "" {
			name = snakeCase(field.Name)
		}
		if kind.Kind() == reflect.Pointer {
			kind, required = kind.Elem(), false
		}
		paramType, ok := paramTypeOf(kind)
		switch {
		case !isName(name):
			return nil, fmt.Errorf("a parameter's name is [a-z][a-z0-9_]{0,47}; %q, of field %s, is not", name, field.Name)
		case seen[name]:
			return nil, fmt.Errorf("there are two parameters %q", name)
		case !ok:
			return nil, fmt.Errorf("field %s is a %s, and a parameter a bool, int, float64, string, Numeric, uuid.UUID, "+
				"time.Time or Date, or a pointer to one", field.Name, field.Type)
		}
		seen[name] = true
		params = append(params, ParamDescription{name, field.Tag.Get("text"), paramType, required, field.Index})
	}
	return params, nil
}

func paramTypeOf(t reflect.Type) (ParamType, bool) {
	switch t {
	case reflect.TypeFor[Numeric]():
		return ParamNumeric, true
	case reflect.TypeFor[uuid.UUID]():
		return ParamUUID, true
	case reflect.TypeFor[time.Time]():
		return ParamTimestamptz, true
	case reflect.TypeFor[Date]():
		return ParamDate, true
	}
	switch t.Kind() {
	case reflect.Bool:
		return ParamBool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return ParamInt64, true
	case reflect.Float64:
		return ParamFloat64, true
	case reflect.String:
		return ParamText, true
	}
	return 0, false
}

// AnswerQuery answers a request as the host would have it answered. The exported component and the tests both come
// here. A panic is a failure, and its stack is logged. The error is a [*Failure].
func AnswerQuery(backend Backend, queries []Query, request QueryRequest) (*RowSet, error) {
	var rows *Rows
	tx := newTx(backend)
	err := tx.do(KindFatal, func() (err error) {
		rows, err = answer(tx, queries, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows.set, nil
}

func answer(tx *Tx, queries []Query, request QueryRequest) (*Rows, error) {
	for _, query := range queries {
		if query.name != request.Name {
			continue
		}
		params, err := query.read(request.Params)
		if err != nil {
			return nil, err
		}
		rows, err := query.answer(tx, request.Tenant, params)
		if err == nil && rows == nil {
			err = Fatalf("query %q returned neither rows nor an error", query.name)
		}
		return rows, err
	}
	return nil, Poisonf("no query %q", request.Name)
}

// read makes a P of the parameters that were given.
func (q *Query) read(given map[string]any) (reflect.Value, error) {
	params := reflect.New(q.params).Elem()
	described, err := q.describeParams()
	if err != nil {
		return params, Fatal(err)
	}
	for _, param := range described {
		value, ok := given[param.Name]
		if !ok {
			if param.Required {
				return params, Poisonf("parameter %s is missing", param.Name)
			}
			continue
		}
		field, err := params.FieldByIndexErr(param.field)
		if err != nil {
			return params, Fatal(err)
		}
		if err := scan(value, field.Addr().Interface()); err != nil {
			return params, Poisonf("parameter %s %w", param.Name, err)
		}
	}
	return params, nil
}

// NewRows makes the answer to a query that a plugin has worked out itself. A row has one value a column; see [Tx] for
// what values may be.
func NewRows(columns []string, rows ...[]any) (*Rows, error) {
	set := &RowSet{Columns: columns, Rows: make([][]any, len(rows))}
	for i, row := range rows {
		if len(row) != len(columns) {
			return nil, Fatalf("row %d has %d values for %d columns (%s)", i, len(row), len(columns), strings.Join(columns, ", "))
		}
		values, err := Params(row...)
		if err != nil {
			return nil, Fatalf("row %d: %w", i, errors.Unwrap(err))
		}
		set.Rows[i] = values
	}
	return &Rows{set: set}, nil
}
