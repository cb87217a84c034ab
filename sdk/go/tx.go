package eventfabric

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
)

const (
	// Calls after which the queue is written out, so that it stays small.
	maxCalls = 1000
	// Bytes of parameters after which the queue is written out.
	maxBytes = 1 << 20
)

// Backend carries out statements: the host in a component, a double in tests (see package eventfabrictest). Errors
// are [*SQLError]. Parameters and the values of rows are of the types nil, bool, int16, int32, int64, float32, float64,
// Numeric, string, []byte, uuid.UUID, time.Time, Date, jsontext.Value, Other, and for arrays slices of pointers to these,
// [][]byte and []jsontext.Value.
type Backend interface {
	// Execute tells how many rows a statement wrote or returned.
	Execute(statement string, params []any) (uint64, error)
	// Query returns a statement's rows.
	Query(statement string, params []any) (*RowSet, error)
	// ExecuteBatch runs many statements in order. Where one fails it returns the index of its call.
	ExecuteBatch(statements []string, calls []Call) (failed int, err error)
}

// Call is one use of a statement in a batch.
type Call struct {
	// Statement is an index into the statements.
	Statement uint32
	Params    []any
}

// RowSet is rows of a query. Every row has one value a column.
type RowSet struct {
	Columns []string
	Rows    [][]any
}

// Tx is the open transaction. What is written here commits together with the record that the events were handled, or
// not at all.
//
// [Tx.Run] queues a write; the queue goes to the database in one round trip at the end of the batch, before the next
// read or [Tx.Exec], and whenever it is full. So reads see all earlier writes, and a handler that only writes costs
// one round trip a batch.
//
// After a statement has failed, the transaction is lost: every later call returns the same error, and the batch fails
// with it even if the projection went on.
//
// Parameters are `$1`, `$2`, …:
//
//	bool, float32, float64, string, []byte    boolean, real, double precision, text, bytea
//	int16, int32, int, int64                  smallint, integer, bigint; unsigned ones the next bigger, or numeric
//	uuid.UUID, Numeric, Date, time.Time, Other     uuid, numeric, date, timestamptz, any other type by its text
//	jsontext.Value, json.RawMessage, JSON(v)  json and jsonb
//	*T, driver.Valuer (sql.NullString, …)     what it holds, or NULL
//	[]T, []*T                                 an array, for `= ANY($1)` and `unnest($1)`; nil is NULL
type Tx struct {
	backend Backend
	event   int // the event to blame
	failed  error

	statements map[string]uint32
	texts      []string
	calls      []Call
	events     []int // the event that each call is for
	bytes      int

	tables map[string]*merged

	upcasters []Upcaster // of the projection, for events that are loaded
}

func newTx(backend Backend) *Tx {
	return &Tx{backend: backend, event: NoEvent}
}

// do runs all that happens in a transaction, its end included. A panic is a failure of the kind that is given. The error
// is a [*Failure].
func (tx *Tx) do(panics FailureKind, work func() error) error {
	err := tx.recovered(panics, work)
	if err == nil {
		err = tx.Flush() // which fails where a statement did, even if its error was ignored
	}
	if err == nil {
		return nil
	}
	return at(err, tx.event)
}

// recovered makes an error of a panic.
func (tx *Tx) recovered(panics FailureKind, work func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.Error(fmt.Sprintf("panic: %v\n%s", cause, debug.Stack()))
			if err = tx.failed; err == nil {
				err = mark(panics, fmt.Errorf("panic: %v", cause))
			}
		}
	}()
	return work()
}

// Run queues a write. It takes effect, and fails, later: at the end of the batch at the latest. The failure names the
// event that is being handled now.
func (tx *Tx) Run(statement string, args ...any) error {
	if tx.failed != nil {
		return tx.failed
	}
	values, err := Params(args...)
	if err != nil {
		return err
	}
	if err := tx.writeTablesIn(statement); err != nil {
		return err
	}
	return tx.queue(statement, values, tx.event)
}

func (tx *Tx) queue(statement string, values []any, event int) error {
	index, known := tx.statements[statement]
	if !known {
		if tx.statements == nil {
			tx.statements = map[string]uint32{}
		}
		index = uint32(len(tx.texts))
		tx.statements[statement] = index
		tx.texts = append(tx.texts, statement)
	}
	for _, value := range values {
		tx.bytes += heapBytes(value)
	}
	tx.calls = append(tx.calls, Call{index, values})
	tx.events = append(tx.events, event)
	if len(tx.calls) >= maxCalls || tx.bytes >= maxBytes {
		return tx.send()
	}
	return nil
}

// Exec runs a statement at once and tells how many rows it wrote or, where it returns rows, how many it returned. A
// round trip of its own: prefer [Tx.Run] where the number does not matter.
func (tx *Tx) Exec(statement string, args ...any) (int64, error) {
	values, err := tx.ready(args)
	if err != nil {
		return 0, err
	}
	rows, err := tx.backend.Execute(statement, values)
	if err != nil {
		return 0, tx.fail(err, statement)
	}
	return int64(rows), nil
}

// Query runs a statement and returns its rows. [Select] and [Get] read them into values of a type.
func (tx *Tx) Query(statement string, args ...any) (*Rows, error) {
	values, err := tx.ready(args)
	if err != nil {
		return nil, err
	}
	set, err := tx.backend.Query(statement, values)
	if err != nil {
		return nil, tx.fail(err, statement)
	}
	return &Rows{set: set, statement: statement}, nil
}

// QueryRow runs a statement that returns one row. What fails is returned by [Row.Scan].
func (tx *Tx) QueryRow(statement string, args ...any) *Row {
	rows, err := tx.Query(statement, args...)
	return &Row{rows, err}
}

// Flush writes out what is queued, before its time: for a statement that depends on rows of a [Table] without naming
// it. The error names the event that queued the statement.
func (tx *Tx) Flush() error {
	if tx.failed != nil {
		return tx.failed
	}
	if err := tx.writeTables(); err != nil {
		return err
	}
	return tx.send()
}

func (tx *Tx) ready(args []any) ([]any, error) {
	if err := tx.Flush(); err != nil {
		return nil, err
	}
	return Params(args...)
}

// send writes out the queue.
func (tx *Tx) send() error {
	if len(tx.calls) == 0 {
		return nil
	}
	texts, calls, events := tx.texts, tx.calls, tx.events
	tx.statements, tx.texts, tx.calls, tx.events, tx.bytes = nil, nil, nil, nil, 0
	failed, err := tx.backend.ExecuteBatch(texts, calls)
	if err == nil {
		return nil
	}
	statement := ""
	if failed < len(calls) {
		tx.event = events[failed]
		statement = texts[calls[failed].Statement]
	}
	return tx.fail(err, statement)
}

func (tx *Tx) fail(err error, statement string) error {
	if sql, ok := err.(*SQLError); ok {
		sql.Statement = strings.TrimSpace(statement)
		if sql.Position > 0 { // which counts from before the blanks
			sql.Position -= len(statement) - len(strings.TrimLeft(statement, " \t\r\n"))
		}
	}
	tx.failed = at(err, tx.event)
	return tx.failed
}
