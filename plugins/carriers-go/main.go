// How many flights each carrier had, by outcome, and the minutes of delay in sum: what plugins/carriers does in
// Rust.
//
// Sums do not depend on the order of events, so this projection is asynchronous. There are few carriers, and every
// batch meets the same ones: so a batch is summed up here first, and each carrier is written once, in the order of the
// keys. Workers on different batches then wait for each other, but never in a circle.
package main

import (
	"embed"
	"maps"
	"slices"

	"eventfabric.dev/eventfabric"
)

//go:embed migrations
var migrations embed.FS

const upsert = `
	INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
	VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (carrier) DO UPDATE SET
		departed = c.departed + EXCLUDED.departed,
		arrived = c.arrived + EXCLUDED.arrived,
		diverted = c.diverted + EXCLUDED.diverted,
		cancelled = c.cancelled + EXCLUDED.cancelled,
		arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes`

// What a flight of any carrier does. Carrier is the two-letter code of the airline.
type (
	// Departed: it left the gate.
	Departed struct {
		Carrier string `json:"carrier"`
	}
	// Arrived: it landed where it should.
	Arrived struct {
		Carrier string `json:"carrier"`
		// Minutes after the scheduled arrival; negative when early.
		ArrDelay int64 `json:"arr_delay"`
	}
	// Diverted: it landed elsewhere, or nobody knows.
	Diverted struct {
		Carrier string `json:"carrier"`
	}
	// Cancelled: it never left.
	Cancelled struct {
		Carrier string `json:"carrier"`
	}
)

var projection = eventfabric.Projection{
	Name:       "carriers",
	Text:       "Flights of each carrier by outcome, and their minutes of delay",
	Mode:       eventfabric.Async,
	Migrations: migrations,
	Batch: eventfabric.OnBatch(handle,
		eventfabric.TypeOf[Departed]("FlightDeparted"),
		eventfabric.TypeOf[Arrived]("FlightArrived"),
		eventfabric.TypeOf[Diverted]("FlightDiverted"),
		eventfabric.TypeOf[Cancelled]("FlightCancelled")),
}

func init() { eventfabric.Export(projection) }

func main() {}

// sums are those of one carrier over a batch.
type sums struct{ departed, arrived, diverted, cancelled, delay int64 }

func handle(tx *eventfabric.Tx, events []eventfabric.Event[any]) error {
	carriers := map[string]*sums{}
	of := func(carrier string) *sums {
		if carriers[carrier] == nil {
			carriers[carrier] = new(sums)
		}
		return carriers[carrier]
	}
	for _, event := range events {
		switch flight := event.Data.(type) {
		case Departed:
			of(flight.Carrier).departed++
		case Arrived:
			s := of(flight.Carrier)
			s.arrived++
			s.delay += flight.ArrDelay
		case Diverted:
			of(flight.Carrier).diverted++
		case Cancelled:
			of(flight.Carrier).cancelled++
		}
	}
	for _, carrier := range slices.Sorted(maps.Keys(carriers)) {
		s := carriers[carrier]
		if err := tx.Run(upsert, carrier, s.departed, s.arrived, s.diverted, s.cancelled, s.delay); err != nil {
			return err
		}
	}
	return nil
}
