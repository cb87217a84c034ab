// The plugin of sdk/conformance, in Go.
package main

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"

	"eventfabric.dev/eventfabric"
)

//go:embed migrations
var migrations embed.FS

var projection = eventfabric.Projection{
	Name:       "conformance",
	Text:       "What every SDK must do",
	Mode:       eventfabric.CatchUp,
	Migrations: migrations,
	Handlers: []eventfabric.Handler{
		eventfabric.On("Written", written),
		eventfabric.On("Counted", counted),
		eventfabric.On("Priced", priced),
		eventfabric.On("Noted", noted),
		eventfabric.On("Incremented", incremented),
		eventfabric.On("Labelled", labelled),
		eventfabric.On("Removed", removed),
		eventfabric.On("Emptied", emptied),
		eventfabric.On("Summed", summed),
		eventfabric.On("Repeated", repeated),
		eventfabric.On("Listed", listed),
		eventfabric.On("Logged", logged),
		eventfabric.On("Configured", configured),
		eventfabric.On("Failed", failed),
	},
	Upcasters: []eventfabric.Upcaster{
		eventfabric.Upcast("Priced", 1, func(payload eventfabric.Payload) error {
			var euros int64
			if err := payload.Get("euros", &euros); err != nil {
				return err
			}
			delete(payload, "euros")
			return payload.Set("cents", euros*100)
		}),
	},
}

func init() { eventfabric.Export(projection) }

func main() {}

var (
	counters = eventfabric.NewTable("counters", "area", "key")
	labels   = eventfabric.NewTable("labels", "key")
)

const (
	insertNumber = "INSERT INTO numbers (position, n) VALUES ($1, $2)"
	insertNote   = "INSERT INTO notes (position, text) VALUES ($1, $2)"
)

type Tx = eventfabric.Tx

func counted(tx *Tx, e eventfabric.Event[struct {
	N int64 `json:"n"`
}]) error {
	return tx.Run(insertNumber, e.Position, e.Data.N)
}

func priced(tx *Tx, e eventfabric.Event[struct {
	Cents int64 `json:"cents"`
}]) error {
	return tx.Run("INSERT INTO prices (position, cents) VALUES ($1, $2)", e.Position, e.Data.Cents)
}

func noted(tx *Tx, e eventfabric.Event[struct{}]) error {
	return tx.Run(`
		INSERT INTO events (position, id, tenant, aggregate, aggregate_id, version, event_type, schema_version, payload,
			occurred_at, correlation_id, causation_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		e.Position, e.ID, e.Tenant, e.Aggregate, e.AggregateID, e.Version, e.Type, e.SchemaVersion, e.Payload,
		e.OccurredAt, e.CorrelationID, e.CausationID)
}

type Counter struct {
	Area string `json:"area"`
	Key  string `json:"key"`
	By   int64  `json:"by"`
}

func incremented(tx *Tx, e eventfabric.Event[Counter]) error {
	key := eventfabric.Key{e.Data.Area, e.Data.Key}
	if err := counters.Increment(tx, key, eventfabric.Columns{"n": e.Data.By}); err != nil {
		return err
	}
	return counters.Upsert(tx, key, eventfabric.Columns{"last": e.Position})
}

type Label struct {
	Key   string  `json:"key"`
	Label *string `json:"label"`
}

func labelled(tx *Tx, e eventfabric.Event[Label]) error {
	return labels.Upsert(tx, eventfabric.Key{e.Data.Key}, eventfabric.Columns{"label": e.Data.Label})
}

type Removed struct {
	Area string `json:"area"`
	Key  string `json:"key"`
}

func removed(tx *Tx, e eventfabric.Event[Removed]) error {
	if err := counters.Delete(tx, eventfabric.Key{e.Data.Area, e.Data.Key}); err != nil {
		return err
	}
	return labels.Delete(tx, eventfabric.Key{e.Data.Key})
}

func emptied(tx *Tx, e eventfabric.Event[struct {
	Area string `json:"area"`
}]) error {
	return tx.Run("DELETE FROM counters WHERE area = $1", e.Data.Area)
}

func summed(tx *Tx, e eventfabric.Event[struct{}]) error {
	sum, err := eventfabric.Get[int64](tx, "SELECT coalesce(sum(n), 0)::bigint FROM counters")
	if err != nil {
		return err
	}
	return tx.Run(insertNumber, e.Position, sum)
}

type Repeated struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

func repeated(tx *Tx, e eventfabric.Event[Repeated]) error {
	if err := tx.Run(insertNote, e.Position, strings.Repeat(e.Data.Text, e.Data.Times)); err != nil {
		return err
	}
	text, err := eventfabric.Get[string](tx, "SELECT text FROM notes WHERE position = $1", e.Position)
	if err != nil {
		return err
	}
	return tx.Run(insertNumber, e.Position, utf8.RuneCountInString(text))
}

func listed(tx *Tx, e eventfabric.Event[struct {
	Upto int64 `json:"upto"`
}]) error {
	rows, err := eventfabric.Select[struct {
		G int64
		T string
	}](tx, "SELECT g, g::text AS t FROM generate_series(1::bigint, $1) AS g", e.Data.Upto)
	if err != nil {
		return err
	}
	var sum int64
	for _, row := range rows {
		number, err := strconv.ParseInt(row.T, 10, 64)
		if err != nil {
			return err
		}
		sum += row.G + number
	}
	return tx.Run(insertNumber, e.Position, sum)
}

type Logged struct {
	Level string `json:"level"`
	Text  string `json:"text"`
}

func logged(_ *Tx, e eventfabric.Event[Logged]) error {
	if e.Data.Level == "trace" {
		slog.Log(context.Background(), eventfabric.LevelTrace, e.Data.Text)
		return nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.Data.Level)); err != nil {
		return err
	}
	slog.Log(context.Background(), level, e.Data.Text)
	return nil
}

func configured(tx *Tx, e eventfabric.Event[struct {
	Key string `json:"key"`
}]) error {
	value, ok := eventfabric.Config(e.Data.Key)
	if !ok {
		value = "not set"
	}
	return tx.Run(insertNote, e.Position, value)
}

func failed(tx *Tx, e eventfabric.Event[struct {
	How string `json:"how"`
}]) error {
	byHand := errors.New("by hand")
	switch e.Data.How {
	case "poison":
		return eventfabric.Poison(byHand)
	case "retry":
		return eventfabric.Retry(byHand)
	case "fatal":
		return eventfabric.Fatal(byHand)
	case "exception":
		panic("unforeseen")
	case "missing_table":
		return tx.Run("INSERT INTO nowhere (position) VALUES ($1)", e.Position)
	case "wrong_count":
		_, err := tx.Exec(insertNote, e.Position)
		return err
	case "wrong_type":
		return tx.Run(insertNumber, e.Position, "many")
	case "null":
		return tx.Run(insertNote, e.Position, nil)
	case "unique":
		return errors.Join(tx.Run(insertNote, e.Position, "once"), tx.Run(insertNote, e.Position, "twice"))
	case "swallowed":
		_, _ = tx.Exec(insertNote, e.Position, "once")
		_, _ = tx.Exec(insertNote, e.Position, "twice")
		return nil
	case "no_row":
		_, err := eventfabric.Get[int64](tx, "SELECT n FROM numbers WHERE position = -1")
		return err
	case "misfit":
		_, err := eventfabric.Get[int64](tx, "SELECT 'x'::text AS t")
		return err
	case "null_read":
		_, err := eventfabric.Get[int64](tx, "SELECT NULL::bigint AS n")
		return err
	case "denied":
		_, err := tx.Query("SELECT now()")
		return err
	case "loop":
		for {
		}
	case "allocate":
		var taken [][]byte
		for {
			taken = append(taken, make([]byte, 1<<20))
			taken[len(taken)-1][0] = 1
		}
	}
	return eventfabric.Poisonf("there is no way to fail called %q", e.Data.How)
}
