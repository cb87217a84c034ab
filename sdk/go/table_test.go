package eventfabric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

var counters = eventfabric.NewTable("counters", "area", "key")

type (
	key     = eventfabric.Key
	columns = eventfabric.Columns
	row     = map[string]any
)

// model is the table, with what PostgreSQL makes of the statements of Table.
type model map[string]row

func (m model) insert(key string, columns map[string]any, adds func(column string) bool) {
	old, there := m[key]
	if !there {
		old = row{}
	}
	for column, value := range columns {
		if before, ok := old[column].(int64); there && adds(column) && ok {
			value = before + value.(int64)
		}
		old[column] = value
	}
	m[key] = old
}

var insertText = regexp.MustCompile(`^INSERT INTO "counters" AS t \((.*)\) VALUES \(.*\) ON CONFLICT \("area", "key"\) DO (.*)$`)

// apply runs the statements that reached the database.
func (m model) apply(t *testing.T, statements []eventfabrictest.Statement) {
	for _, s := range statements {
		key := fmt.Sprint(s.Params[:2])
		if s.Text == `DELETE FROM "counters" WHERE "area" = $1 AND "key" = $2` {
			delete(m, key)
			continue
		}
		parts := insertText.FindStringSubmatch(s.Text)
		if parts == nil {
			t.Fatalf("what is %s", s.Text)
		}
		values := row{}
		for i, column := range strings.Split(parts[1], ", ")[2:] {
			values[strings.Trim(column, `"`)] = s.Params[i+2]
		}
		m.insert(key, values, func(column string) bool {
			return strings.Contains(parts[2], fmt.Sprintf(`"%[1]s" = coalesce(t."%[1]s", 0) + EXCLUDED."%[1]s"`, column))
		})
	}
}

func TestMergedRowsAreThoseOfOneStatementForEachCall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 500 {
		merged, plain := model{}, model{}
		for range 3 { // batches on one table
			db := &eventfabrictest.RecordingTx{}
			failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
				for range random.IntN(30) {
					k := key{string(rune('a' + random.IntN(2))), random.IntN(3)}
					id := fmt.Sprint([]any{k[0], int64(k[1].(int))})
					values := columns{}
					for _, column := range []string{"n", "m"} {
						if random.IntN(3) > 0 {
							values[column] = int64(random.IntN(9) - 4)
						}
					}
					var err error
					switch random.IntN(3) {
					case 0:
						if random.IntN(3) == 0 {
							values["n"] = nil
						}
						err = counters.Upsert(tx, k, values)
						plain.insert(id, values, func(string) bool { return false })
					case 1:
						err = counters.Increment(tx, k, values)
						plain.insert(id, values, func(string) bool { return true })
					case 2:
						err = counters.Delete(tx, k)
						delete(plain, id)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if failure != nil {
				t.Fatal(failure)
			}
			merged.apply(t, db.Statements)
			keys := slices.Collect(func(yield func(string) bool) {
				for _, s := range db.Statements {
					yield(fmt.Sprint(s.Params[:2]))
				}
			})
			if !slices.IsSorted(keys) {
				t.Fatalf("round %d: not in the order of keys: %v", round, keys)
			}
		}
		if !reflect.DeepEqual(merged, plain) {
			t.Fatalf("round %d: %v, not %v", round, merged, plain)
		}
	}
}

func TestACounterThatABatchTouchesOftenIsWrittenOnce(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	failure := run(t, db, 500, func(tx *eventfabric.Tx, e anyPayload) error {
		if err := counters.Increment(tx, key{"a", 1}, columns{"n": 2}); err != nil {
			return err
		}
		return counters.Upsert(tx, key{"a", 1}, columns{"last": e.Position})
	})
	want := []eventfabrictest.Statement{{
		Text: `INSERT INTO "counters" AS t ("area", "key", "last", "n") VALUES ($1, $2, $3, $4) ON CONFLICT ("area", "key") ` +
			`DO UPDATE SET "last" = EXCLUDED."last", "n" = coalesce(t."n", 0) + EXCLUDED."n"`,
		Params: eventfabrictest.Params("a", 1, 500, 1000),
	}}
	if failure != nil || !reflect.DeepEqual(db.Statements, want) {
		t.Errorf("%v, %v", failure, db.Statements)
	}
}

func TestAStatementThatNamesTheTableKeepsItsPlace(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		for _, statement := range []string{"DELETE FROM other_counters", "DELETE FROM Counters WHERE n = 1"} {
			if err := counters.Upsert(tx, key{"a", 1}, nil); err != nil {
				return err
			}
			if err := tx.Run(statement); err != nil {
				return err
			}
		}
		return nil
	})
	var texts []string
	for _, s := range db.Statements {
		texts = append(texts, s.Text[:18])
	}
	want := []string{"DELETE FROM other_", `INSERT INTO "count`, "DELETE FROM Counte"}
	if failure != nil || !reflect.DeepEqual(texts, want) {
		t.Errorf("%v, %v", failure, texts)
	}
}

func TestARowOfOneEventIsBlamedOnItAndOneOfManyOnNone(t *testing.T) {
	for keyOf, want := range map[string]int{"own": 1, "same": eventfabric.NoEvent} {
		db := &eventfabrictest.RecordingTx{}
		db.Fail("INSERT", eventfabric.SQLError{Kind: eventfabric.SQLConstraint, Message: "no"})
		failure := run(t, db, 3, func(tx *eventfabric.Tx, e anyPayload) error {
			if keyOf == "own" && e.Index != 1 {
				return nil
			}
			return counters.Increment(tx, key{"a", 1}, columns{"n": 1})
		})
		if failure == nil || failure.Event != want {
			t.Errorf("%s: %v", keyOf, failure)
		}
	}
}

func TestSumsAreExact(t *testing.T) {
	for _, c := range [][3]any{
		{int64(1), int64(2), int64(3)},
		{int64(math.MaxInt64), 1, eventfabric.Numeric("9223372036854775808")},
		{int64(math.MinInt64), -1, eventfabric.Numeric("-9223372036854775809")},
		{eventfabric.Numeric("0.10"), eventfabric.Numeric("0.2"), eventfabric.Numeric("0.30")},
		{eventfabric.Numeric("-0.05"), eventfabric.Numeric("0.01"), eventfabric.Numeric("-0.04")},
		{eventfabric.Numeric("12.5"), 1, eventfabric.Numeric("13.5")},
		{eventfabric.Numeric("1e3"), eventfabric.Numeric("2.5e-1"), eventfabric.Numeric("1000.25")},
		{eventfabric.Numeric("NaN"), 1, eventfabric.Numeric("NaN")},
		{eventfabric.Numeric("Infinity"), eventfabric.Numeric("-Infinity"), eventfabric.Numeric("NaN")},
		{eventfabric.Numeric("-Infinity"), eventfabric.Numeric("2"), eventfabric.Numeric("-Infinity")},
	} {
		db := &eventfabrictest.RecordingTx{}
		failure := run(t, db, 1, func(tx *eventfabric.Tx, e anyPayload) error {
			if err := counters.Increment(tx, key{"a", 1}, columns{"n": c[0]}); err != nil {
				return err
			}
			return counters.Increment(tx, key{"a", 1}, columns{"n": c[1]})
		})
		if failure != nil || db.Statements[0].Params[2] != c[2] {
			t.Errorf("%v + %v is %v, %v", c[0], c[1], db.Statements, failure)
		}
	}
	for _, c := range []any{nil, "x", eventfabric.Numeric("x"), eventfabric.Numeric("1__0"), true, 0.5} {
		failure := run(t, &eventfabrictest.RecordingTx{}, 1, func(tx *eventfabric.Tx, e anyPayload) error {
			return counters.Increment(tx, key{"a", 1}, columns{"n": c})
		})
		if failure == nil || failure.Kind != eventfabric.KindFatal || !strings.HasPrefix(failure.Error(), "column `n` of counters: ") {
			t.Errorf("%v was added: %v", c, failure)
		}
	}
}

func TestAKeyHasTheColumnsOfItsTable(t *testing.T) {
	failure := run(t, &eventfabrictest.RecordingTx{}, 1, func(tx *eventfabric.Tx, e anyPayload) error {
		return counters.Delete(tx, key{"a"})
	})
	if failure == nil || failure.Error() != "1 values for the key of counters, which is (area, key)" {
		t.Error(failure)
	}
}
