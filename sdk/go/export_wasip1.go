package eventfabric

import (
	"encoding/json/jsontext"
	"log"
	"log/slog"
	"runtime/debug"
	"time"
	"unsafe"
	"uuid"

	"eventfabric.dev/eventfabric/internal/host"
	config "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_config"
	hostlog "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_log"
	sql "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_sql"
	types "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_types"
	query "eventfabric.dev/eventfabric/internal/wit/eventfabric_query_queries"
	export_queries "eventfabric.dev/eventfabric/internal/wit/export_eventfabric_query_queries"
	"eventfabric.dev/eventfabric/internal/wit/export_wit_world"
	_ "eventfabric.dev/eventfabric/internal/wit/wit_exports" // the functions that the host calls
	wit "eventfabric.dev/eventfabric/internal/witpkg/types"
)

// Where the adapter (in the folder of that name) gathers what is printed.
var line [1024]byte

//go:wasmimport wasi_snapshot_preview1 adapter_set_line
func adapterSetLine(line unsafe.Pointer, room uint32)

//go:wasmimport wasi_snapshot_preview1 adapter_set_clock
func adapterSetClock(nanoseconds int64)

func init() {
	// An instance lives for a batch, and few of these need the collector at all.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(128 << 20) // half of what the host gives
	adapterSetLine(unsafe.Pointer(&line), uint32(len(line)))
	host.Log = writeLog
	host.Config = func(key string) (string, bool) {
		value := config.Get(key)
		return value.SomeOr(""), value.IsSome()
	}
	host.Settings = func() map[string]string {
		settings := map[string]string{}
		for _, setting := range config.All() {
			settings[setting.F0] = setting.F1
		}
		return settings
	}
	slog.SetDefault(slog.New(logHandler{}))
	log.SetFlags(0)
}

func writeLog(level int, message string) {
	levels := [...]struct {
		below slog.Level
		level uint8
	}{
		{slog.LevelDebug, hostlog.LevelTrace},
		{slog.LevelInfo, hostlog.LevelDebug},
		{slog.LevelWarn, hostlog.LevelInfo},
		{slog.LevelError, hostlog.LevelWarn},
	}
	for _, l := range levels {
		if level < int(l.below) {
			hostlog.Write(l.level, message)
			return
		}
	}
	hostlog.Write(hostlog.LevelError, message)
}

// Export makes a projection the one of this component. Call it in an `init` function of package main; `main` itself
// stays empty. It panics where the projection is not well made, in `go test`, too.
func Export(projection Projection) {
	description, err := projection.Describe()
	if err != nil {
		panic("eventfabric: " + err.Error())
	}
	export_wit_world.Describe = func() types.Description { return description.contract() }
	export_wit_world.Handle = func(tx *sql.Tx, raw []types.Event) wit.Result[wit.Unit, types.Failure] {
		defer tx.Drop()
		events := make([]RawEvent, len(raw))
		for i := range raw {
			events[i] = eventOf(&raw[i])
		}
		if len(events) > 0 {
			adapterSetClock(max(0, events[0].OccurredAt.UnixNano()))
		}
		if err := projection.Handle(hostTx{tx}, events); err != nil {
			return wit.Err[wit.Unit](failureOf(err).contract())
		}
		return wit.Ok[wit.Unit, types.Failure](wit.Unit{})
	}
}

func exportQueries(queries []Query) error {
	descriptions, err := DescribeQueries(queries)
	if err != nil {
		return err
	}
	export_queries.DescribeQueries = func() []query.QueryDescription {
		all := make([]query.QueryDescription, len(descriptions))
		for i, description := range descriptions {
			all[i] = description.contract()
		}
		return all
	}
	export_queries.Query = func(tx *sql.Tx, asked query.Request) wit.Result[sql.RowSet, types.Failure] {
		defer tx.Drop()
		request := QueryRequest{asked.Name, asked.Tenant, map[string]any{}}
		for _, param := range asked.Parameters {
			request.Params[param.F0] = valueOf(param.F1)
		}
		set, err := AnswerQuery(hostTx{tx}, queries, request)
		if err != nil {
			return wit.Err[sql.RowSet](failureOf(err).contract())
		}
		rows := make([][]sql.Value, len(set.Rows))
		for i, row := range set.Rows {
			rows[i] = lowerAll(row)
		}
		return wit.Ok[sql.RowSet, types.Failure](sql.RowSet{Columns: set.Columns, Rows: rows})
	}
	return nil
}

func (d *QueryDescription) contract() query.QueryDescription {
	kinds := [...]query.ParameterType{
		ParamBool: query.ParameterTypeBoolean, ParamInt64: query.ParameterTypeInt64, ParamFloat64: query.ParameterTypeFloat64,
		ParamNumeric: query.ParameterTypeNumeric, ParamText: query.ParameterTypeText, ParamUUID: query.ParameterTypeUuid,
		ParamTimestamptz: query.ParameterTypeTimestamptz, ParamDate: query.ParameterTypeDate,
	}
	params := make([]query.Parameter, len(d.Params))
	for i, param := range d.Params {
		params[i] = query.Parameter{Name: param.Name, Text: param.Text, Type: kinds[param.Type], Required: param.Required}
	}
	return query.QueryDescription{Name: d.Name, Text: d.Text, Parameters: params, PerTenant: d.PerTenant}
}

func (d *Description) contract() types.Description {
	topics := types.MakeTopicFilterAll()
	if len(d.Topics.Only) > 0 {
		topics = types.MakeTopicFilterInclude(d.Topics.Only)
	} else if len(d.Topics.Except) > 0 {
		topics = types.MakeTopicFilterExclude(d.Topics.Except)
	}
	migrations := make([]types.Migration, len(d.Migrations))
	for i, step := range d.Migrations {
		migrations[i] = types.Migration{Number: step.Number, Name: step.Name, Sql: step.SQL}
	}
	modes := [...]uint8{Async: types.ModeAsync, CatchUp: types.ModeCatchUp, Inline: types.ModeInline}
	return types.Description{
		Name: d.Name, Text: d.Text, Mode: modes[d.Mode], Topics: topics, EventTypes: d.EventTypes, Migrations: migrations,
	}
}

func (f *Failure) contract() types.Failure {
	kinds := [...]uint8{KindRetry: types.FailureKindRetry, KindPoison: types.FailureKindPoison, KindFatal: types.FailureKindFatal}
	failure := types.Failure{Index: wit.None[uint32](), Kind: kinds[f.Kind], Message: f.Error()}
	if f.Event != NoEvent {
		failure.Index = wit.Some(uint32(f.Event))
	}
	return failure
}

func eventOf(e *types.Event) RawEvent {
	return RawEvent{
		Position: e.Position, ID: e.Id, Tenant: e.Tenant, Aggregate: e.Aggregate, AggregateID: e.AggregateId,
		Version: e.Version, Type: e.EventType, SchemaVersion: e.SchemaVersion, Payload: e.Payload,
		OccurredAt: toTime(e.OccurredAt), CorrelationID: item(e.CorrelationId, same), CausationID: item(e.CausationId, same),
	}
}

// hostTx is the transaction in the host.
type hostTx struct{ tx *sql.Tx }

func (h hostTx) Execute(statement string, params []any) (uint64, error) {
	result := h.tx.Execute(statement, lowerAll(params))
	if result.IsErr() {
		return 0, sqlError(result.Err())
	}
	return result.Ok(), nil
}

func (h hostTx) Query(statement string, params []any) (*RowSet, error) {
	result := h.tx.Query(statement, lowerAll(params))
	if result.IsErr() {
		return nil, sqlError(result.Err())
	}
	set := result.Ok()
	rows := make([][]any, len(set.Rows))
	for i, row := range set.Rows {
		rows[i] = make([]any, len(row))
		for j, value := range row {
			rows[i][j] = valueOf(value)
		}
	}
	return &RowSet{set.Columns, rows}, nil
}

func (h hostTx) ExecuteBatch(statements []string, calls []Call) (int, error) {
	batch := make([]sql.Call, len(calls))
	for i, call := range calls {
		batch[i] = sql.Call{Statement: call.Statement, Params: lowerAll(call.Params)}
	}
	if result := h.tx.ExecuteBatch(statements, batch); result.IsErr() {
		failed := result.Err()
		return int(failed.Call), sqlError(failed.Error)
	}
	return 0, nil
}

func sqlError(e sql.SqlError) *SQLError {
	kinds := [...]SQLErrorKind{
		sql.SqlErrorKindRetryable: SQLRetryable, sql.SqlErrorKindConstraint: SQLConstraint, sql.SqlErrorKindDenied: SQLDenied,
		sql.SqlErrorKindInvalid: SQLInvalid, sql.SqlErrorKindLimit: SQLLimit, sql.SqlErrorKindAborted: SQLAborted,
		sql.SqlErrorKindConnection: SQLConnection,
	}
	return &SQLError{
		Kind: kinds[e.Kind], SQLState: e.Sqlstate, Message: e.Message, Detail: e.Detail.SomeOr(""), Hint: e.Hint.SomeOr(""),
		Constraint: e.Constraint.SomeOr(""), Table: e.Table.SomeOr(""), Column: e.Column.SomeOr(""), Position: int(e.Position.SomeOr(0)),
	}
}

func lowerAll(params []any) []sql.Value {
	values := make([]sql.Value, len(params))
	for i, value := range params {
		values[i] = lower(value)
	}
	return values
}

// lower makes a value of the contract of one that param has made.
func lower(value any) sql.Value {
	switch v := value.(type) {
	case bool:
		return sql.MakeValueBoolean(v)
	case int16:
		return sql.MakeValueInt16(v)
	case int32:
		return sql.MakeValueInt32(v)
	case int64:
		return sql.MakeValueInt64(v)
	case float32:
		return sql.MakeValueFloat32(v)
	case float64:
		return sql.MakeValueFloat64(v)
	case Numeric:
		return sql.MakeValueNumeric(string(v))
	case string:
		return sql.MakeValueText(v)
	case []byte:
		return sql.MakeValueBytes(v)
	case uuid.UUID:
		return sql.MakeValueUuid(v.String())
	case time.Time:
		return sql.MakeValueTimestamptz(v.UnixMicro())
	case Date:
		return sql.MakeValueDate(int32(v))
	case jsontext.Value:
		return sql.MakeValueJson(string(v))
	case Other:
		return sql.MakeValueOther(wit.Tuple2[string, string]{F0: v.Type, F1: v.Text})
	case []*bool:
		return sql.MakeValueBoolArray(options(v, same))
	case []*int16:
		return sql.MakeValueInt16Array(options(v, same))
	case []*int32:
		return sql.MakeValueInt32Array(options(v, same))
	case []*int64:
		return sql.MakeValueInt64Array(options(v, same))
	case []*float32:
		return sql.MakeValueFloat32Array(options(v, same))
	case []*float64:
		return sql.MakeValueFloat64Array(options(v, same))
	case []*Numeric:
		return sql.MakeValueNumericArray(options(v, func(n Numeric) string { return string(n) }))
	case []*string:
		return sql.MakeValueTextArray(options(v, same))
	case [][]byte:
		return sql.MakeValueBytesArray(options(pointers(v), same))
	case []*uuid.UUID:
		return sql.MakeValueUuidArray(options(v, uuid.UUID.String))
	case []*time.Time:
		return sql.MakeValueTimestamptzArray(options(v, time.Time.UnixMicro))
	case []*Date:
		return sql.MakeValueDateArray(options(v, func(d Date) int32 { return int32(d) }))
	case []jsontext.Value:
		return sql.MakeValueJsonArray(options(pointers(v), jsontext.Value.String))
	}
	return sql.MakeValueNull()
}

// valueOf makes a value of Go of one of the contract.
func valueOf(value sql.Value) any {
	switch value.Tag() {
	case sql.ValueBoolean:
		return value.Boolean()
	case sql.ValueInt16:
		return value.Int16()
	case sql.ValueInt32:
		return value.Int32()
	case sql.ValueInt64:
		return value.Int64()
	case sql.ValueFloat32:
		return value.Float32()
	case sql.ValueFloat64:
		return value.Float64()
	case sql.ValueNumeric:
		return toNumeric(value.Numeric())
	case sql.ValueText:
		return value.Text()
	case sql.ValueBytes:
		return toBytes(value.Bytes())
	case sql.ValueUuid:
		return toUUID(value.Uuid())
	case sql.ValueTimestamptz:
		return toTime(value.Timestamptz())
	case sql.ValueDate:
		return toDate(value.Date())
	case sql.ValueJson:
		return toJSON(value.Json())
	case sql.ValueOther:
		other := value.Other()
		return Other{Type: other.F0, Text: other.F1}
	case sql.ValueBoolArray:
		return items(value.BoolArray(), same)
	case sql.ValueInt16Array:
		return items(value.Int16Array(), same)
	case sql.ValueInt32Array:
		return items(value.Int32Array(), same)
	case sql.ValueInt64Array:
		return items(value.Int64Array(), same)
	case sql.ValueFloat32Array:
		return items(value.Float32Array(), same)
	case sql.ValueFloat64Array:
		return items(value.Float64Array(), same)
	case sql.ValueNumericArray:
		return items(value.NumericArray(), toNumeric)
	case sql.ValueTextArray:
		return items(value.TextArray(), same)
	case sql.ValueBytesArray:
		return slicesOf(items(value.BytesArray(), toBytes))
	case sql.ValueUuidArray:
		return items(value.UuidArray(), toUUID)
	case sql.ValueTimestamptzArray:
		return items(value.TimestamptzArray(), toTime)
	case sql.ValueDateArray:
		return items(value.DateArray(), toDate)
	case sql.ValueJsonArray:
		return slicesOf(items(value.JsonArray(), toJSON))
	}
	return nil
}

func same[T any](v T) T              { return v }
func toNumeric(v string) Numeric     { return Numeric(v) }
func toTime(v int64) time.Time       { return time.UnixMicro(v).UTC() }
func toDate(v int32) Date            { return Date(v) }
func toJSON(v string) jsontext.Value { return jsontext.Value(v) }

// toBytes tells no bytes from NULL, which is nil.
func toBytes(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

func toUUID(v string) uuid.UUID {
	id, err := uuid.Parse(v)
	if err != nil {
		panic(err) // the host gives no others
	}
	return id
}

func options[T, U any](list []*T, convert func(T) U) []wit.Option[U] {
	out := make([]wit.Option[U], len(list))
	for i, item := range list {
		out[i] = wit.None[U]()
		if item != nil {
			out[i] = wit.Some(convert(*item))
		}
	}
	return out
}

func items[T, U any](list []wit.Option[T], convert func(T) U) []*U {
	out := make([]*U, len(list))
	for i := range list {
		out[i] = item(list[i], convert)
	}
	return out
}

func item[T, U any](o wit.Option[T], convert func(T) U) *U {
	if o.IsNone() {
		return nil
	}
	value := convert(o.Some())
	return &value
}

// pointers makes nil pointers of nil slices, and slicesOf the other way.
func pointers[T ~[]byte](list []T) []*T {
	out := make([]*T, len(list))
	for i := range list {
		if list[i] != nil {
			out[i] = &list[i]
		}
	}
	return out
}

func slicesOf[T ~[]byte](list []*T) []T {
	out := make([]T, len(list))
	for i, item := range list {
		if item != nil {
			out[i] = *item
		}
	}
	return out
}
