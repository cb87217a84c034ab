// A projection that answers queries.
package main

import (
	"embed"
	"time"
	"uuid"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/queries"
)

//go:embed migrations
var migrations embed.FS

type opened struct {
	Cents int64               `json:"cents"`
	Rate  eventfabric.Numeric `json:"rate"`
}

type (
	Tx   = eventfabric.Tx
	Rows = eventfabric.Rows
)

func init() {
	eventfabric.Export(eventfabric.Projection{
		Name:       "go_queries",
		Mode:       eventfabric.CatchUp,
		Migrations: migrations,
		Handlers:   []eventfabric.Handler{eventfabric.On("AccountOpened", handle)},
	})
	queries.Export(
		eventfabric.OnQuery("richest", "The accounts with the most on them", richest),
		eventfabric.OnTenantQuery("own", "How many accounts a tenant has", own),
		eventfabric.OnQuery("echo", "The parameters, as they came", echo),
		eventfabric.OnQuery("write", "What is denied", write),
		eventfabric.OnQuery("refuse", "What makes no sense", refuse),
		eventfabric.OnQuery("panics", "What nobody foresaw", panics),
	)
}

func main() {}

func handle(tx *Tx, e eventfabric.Event[opened]) error {
	return tx.Run("INSERT INTO accounts VALUES ($1, $2, $3, $4, $5)", e.AggregateID, e.Tenant, e.Data.Cents, e.Data.Rate, e.OccurredAt)
}

type richestParams struct {
	Least int64  `text:"Cents, at least"`
	Limit *int32 `text:"How many accounts, at most"`
}

func richest(tx *Tx, p richestParams) (*Rows, error) {
	return tx.Query("SELECT id, cents, rate, opened FROM accounts WHERE cents >= $1 ORDER BY cents DESC LIMIT coalesce($2, 10)", p.Least, p.Limit)
}

func own(tx *Tx, tenant string, _ struct{}) (*Rows, error) {
	return tx.Query("SELECT count(*) AS n FROM accounts WHERE tenant = $1", tenant)
}

type echoParams struct {
	Flag  *bool
	Int   *int64
	Float *float64
	Num   *eventfabric.Numeric
	Text  *string
	ID    *uuid.UUID
	At    *time.Time
	Day   *eventfabric.Date
}

func echo(_ *Tx, p echoParams) (*Rows, error) {
	columns := []string{"flag", "int", "float", "num", "text", "id", "at", "day"}
	return eventfabric.NewRows(columns, []any{p.Flag, p.Int, p.Float, p.Num, p.Text, p.ID, p.At, p.Day})
}

func write(tx *Tx, _ struct{}) (*Rows, error) {
	if err := tx.Run("DELETE FROM accounts"); err != nil {
		return nil, err
	}
	return tx.Query("SELECT 1 AS n")
}

func refuse(_ *Tx, p struct{ Why string }) (*Rows, error) {
	return nil, eventfabric.Poisonf("refused: %s", p.Why)
}

func panics(_ *Tx, _ struct{}) (*Rows, error) {
	var none []int
	return eventfabric.NewRows([]string{"n"}, []any{none[7]})
}
