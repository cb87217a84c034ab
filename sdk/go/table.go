package eventfabric

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"uuid"
)

// Table writes rows of a read model by key, and merges what a batch does to one key before it is written: a counter
// that 500 events touch is written once.
//
//	var accounts = eventfabric.NewTable("accounts", "account")
//
//	accounts.Increment(tx, eventfabric.Key{event.AggregateID}, eventfabric.Columns{"cents": event.Data.Cents})
//
// The rows are those that one statement for each call would leave. They are written before the next read or
// [Tx.Exec], before a statement that names the table, and at the end, in the order of tables and keys, so that two
// workers wait for each other in no circle. A statement that depends on them without naming the table (a foreign
// key, a view) needs a [Tx.Flush] before it. A row that can't be written is blamed on its event where it stems from one,
// and otherwise on none.
type Table struct {
	name string
	key  []string
}

// Key is the values of a table's key columns, in their order.
type Key []any

// Columns is values by the names of their columns.
type Columns map[string]any

// NewTable names a table and the columns of its primary key, or of a unique index.
func NewTable(name string, key ...string) Table {
	if len(key) == 0 {
		panic(fmt.Sprintf("eventfabric: table %s has no key columns", name))
	}
	return Table{name, key}
}

// Upsert writes columns of the row, which is made where it is not there.
func (t Table) Upsert(tx *Tx, key Key, columns Columns) error {
	return t.change(tx, key, columns, func(_ change, value any) (change, error) {
		return change{value: value}, nil
	})
}

// Increment adds to columns of the row, which is made where it is not there; a column that is NULL counts as 0.
func (t Table) Increment(tx *Tx, key Key, by Columns) error {
	return t.change(tx, key, by, func(old change, by any) (change, error) {
		sum, err := add(old.value, by)
		return change{sum, old.adds}, err
	})
}

// Delete deletes the row, if it is there.
func (t Table) Delete(tx *Tx, key Key) error {
	row, err := t.row(tx, key)
	if err != nil {
		return err
	}
	row.deleted, row.inserted, row.columns = true, false, nil
	return nil
}

func (t Table) change(tx *Tx, key Key, columns Columns, next func(old change, value any) (change, error)) error {
	row, err := t.row(tx, key)
	if err != nil {
		return err
	}
	row.inserted = true
	if row.columns == nil {
		row.columns = make(map[string]change, len(columns))
	}
	for name, arg := range columns {
		value, err := param(arg)
		if err != nil {
			return Fatalf("column `%s` of %s: %w", name, t.name, err)
		}
		old, ok := row.columns[name]
		if !ok {
			old.adds = true // to what the table holds
		}
		if row.columns[name], err = next(old, value); err != nil {
			return Fatalf("column `%s` of %s: %w", name, t.name, err)
		}
	}
	return nil
}

// row finds what was done to a key before.
func (t Table) row(tx *Tx, key Key) (*mergedRow, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	if len(key) != len(t.key) {
		return nil, Fatalf("%d values for the key of %s, which is (%s)", len(key), t.name, strings.Join(t.key, ", "))
	}
	table := tx.tables[t.name]
	if table == nil {
		if tx.tables == nil {
			tx.tables = map[string]*merged{}
		}
		table = &merged{Table: t, rows: map[string]*mergedRow{}}
		tx.tables[t.name] = table
	} else if !slices.Equal(table.key, t.key) {
		return nil, Fatalf("table %s has two keys in one batch: (%s) and (%s)", t.name, strings.Join(table.key, ", "), strings.Join(t.key, ", "))
	}
	values, err := Params(key...)
	if err != nil {
		return nil, err
	}
	id := encode(values)
	row := table.rows[id]
	if row == nil {
		row = &mergedRow{key: values, event: tx.event}
		table.rows[id] = row
	} else if row.event != tx.event {
		row.event = NoEvent
	}
	return row, nil
}

// merged is what a batch has done to a table.
type merged struct {
	Table
	rows map[string]*mergedRow
}

// mergedRow is what a batch has done to one key: it was deleted, then inserted or changed, each if at all.
type mergedRow struct {
	key      []any
	event    int
	deleted  bool
	inserted bool
	columns  map[string]change
}

// change is what a column is set to or, where it adds, what is added to it.
type change struct {
	value any
	adds  bool
}

// writeTables queues the merged rows of all tables.
func (tx *Tx) writeTables() error {
	return tx.writeTablesIf(func(string) bool { return true })
}

// writeTablesIn queues the merged rows of tables that a statement names, so that it keeps its place after them.
func (tx *Tx) writeTablesIn(statement string) error {
	return tx.writeTablesIf(func(table string) bool { return names(statement, table) })
}

func (tx *Tx) writeTablesIf(wanted func(table string) bool) error {
	var tables []*merged
	for name, table := range tx.tables {
		if wanted(name) {
			tables = append(tables, table)
		}
	}
	slices.SortFunc(tables, func(a, b *merged) int { return strings.Compare(a.name, b.name) })
	for _, table := range tables {
		delete(tx.tables, table.name)
		if err := table.write(tx); err != nil {
			return err
		}
	}
	return nil
}

// names tells whether a text holds a name as a word of its own.
func names(text, name string) bool {
	text, name = strings.ToLower(text), strings.ToLower(name)
	for from := 0; ; {
		at := strings.Index(text[from:], name)
		if at < 0 {
			return false
		}
		at += from
		from = at + len(name)
		if !wordAt(text, at-1) && !wordAt(text, from) {
			return true
		}
	}
}

func wordAt(text string, at int) bool {
	if at < 0 || at >= len(text) {
		return false
	}
	c := text[at]
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || c >= 0x80
}

// write queues the rows of a table, in the order of their keys.
func (m *merged) write(tx *Tx) error {
	rows := make([]*mergedRow, 0, len(m.rows))
	for _, row := range m.rows {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *mergedRow) int { return slices.CompareFunc(a.key, b.key, compare) })
	upserts := map[string]string{} // by columns, and by whether they add
	for _, row := range rows {
		if row.deleted {
			if err := tx.queue(m.deletion(), row.key, row.event); err != nil {
				return err
			}
		}
		if !row.inserted {
			continue
		}
		columns := make([]string, 0, len(row.columns))
		for name := range row.columns {
			columns = append(columns, name)
		}
		slices.Sort(columns)
		values, shape := slices.Clone(row.key), ""
		for _, name := range columns {
			values = append(values, row.columns[name].value)
			shape += fmt.Sprintf("%q%t", name, row.columns[name].adds)
		}
		if upserts[shape] == "" {
			upserts[shape] = m.upsert(columns, row.columns)
		}
		if err := tx.queue(upserts[shape], values, row.event); err != nil {
			return err
		}
	}
	return nil
}

func (t Table) deletion() string {
	parts := make([]string, len(t.key))
	for i, name := range t.key {
		parts[i] = fmt.Sprintf("%s = $%d", quote(name), i+1)
	}
	return "DELETE FROM " + quote(t.name) + " WHERE " + strings.Join(parts, " AND ")
}

func (t Table) upsert(names []string, changes map[string]change) string {
	var all, places, sets []string
	for _, name := range t.key {
		all = append(all, quote(name))
	}
	key := strings.Join(all, ", ")
	for _, name := range names {
		column := quote(name)
		all = append(all, column)
		if changes[name].adds {
			sets = append(sets, column+" = coalesce(t."+column+", 0) + EXCLUDED."+column)
		} else {
			sets = append(sets, column+" = EXCLUDED."+column)
		}
	}
	for i := range all {
		places = append(places, fmt.Sprintf("$%d", i+1))
	}
	do := "NOTHING"
	if len(sets) > 0 {
		do = "UPDATE SET " + strings.Join(sets, ", ")
	}
	return fmt.Sprintf("INSERT INTO %s AS t (%s) VALUES (%s) ON CONFLICT (%s) DO %s",
		quote(t.name), strings.Join(all, ", "), strings.Join(places, ", "), key, do)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// encode makes a map's key of a row's key.
func encode(key []any) string {
	var text []byte
	for _, value := range key {
		if number, ok := integer(value); ok {
			value = number
		}
		if v, ok := value.(string); ok {
			text = fmt.Appendf(text, "%d:%s", len(v), v)
		} else {
			text = fmt.Appendf(text, "%T%v;", value, value)
		}
	}
	return string(text)
}

// compare orders values of a key column.
func compare(a, b any) int {
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return cmp.Compare(x, y)
		}
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case uuid.UUID:
		if y, ok := b.(uuid.UUID); ok {
			return x.Compare(y)
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	case Date:
		if y, ok := b.(Date); ok {
			return cmp.Compare(x, y)
		}
	}
	return strings.Compare(encode([]any{a}), encode([]any{b}))
}

func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// add is the sum of two integers or decimals; nil counts as 0. Floats can't be added, as their sums depend on the order.
func add(a, b any) (any, error) {
	if b == nil {
		return nil, errors.New("NULL can't be added")
	}
	if a == nil {
		a = int64(0)
	}
	x, isInt := integer(a)
	y, bothInt := integer(b)
	if isInt && bothInt {
		if sum := x + y; (sum < x) == (y < 0) {
			return sum, nil
		}
	}
	m, ok := decimalOf(a)
	n, ok2 := decimalOf(b)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%v and %v can't be added", a, b)
	}
	return m.plus(n).numeric(), nil
}
