// How many flights each carrier had, by outcome, and the minutes of delay in sum: what plugins/carriers does in Rust.
//
// Sums do not depend on the order of events, so this projection is asynchronous. There are few carriers, and every batch
// meets the same ones: so a batch is summed up here first, and each carrier is written once, in the order of the keys.
// Workers on different batches then wait for each other, but never in a circle.

#include <stdlib.h>

#include "eventfabric.h"

static const char create_carriers[] = {
#embed "../migrations/001_create_carriers.sql"
    , 0};

static const char upsert[] =
    "INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)\n"
    "VALUES ($1, $2, $3, $4, $5, $6)\n"
    "ON CONFLICT (carrier) DO UPDATE SET\n"
    "    departed = c.departed + EXCLUDED.departed,\n"
    "    arrived = c.arrived + EXCLUDED.arrived,\n"
    "    diverted = c.diverted + EXCLUDED.diverted,\n"
    "    cancelled = c.cancelled + EXCLUDED.cancelled,\n"
    "    arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes";

// The sums of one carrier over a batch.
typedef struct {
    ef_str carrier; // two-letter code of the airline
    int64_t departed, arrived, diverted, cancelled, delay;
} sums;

static int compare(ef_str a, ef_str b) {
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_carrier(const void *a, const void *b) { return compare(((const sums *)a)->carrier, ((const sums *)b)->carrier); }

// The sums of a carrier among those that were met; there are some fifteen in the world of these events.
static sums *of_carrier(sums *all, size_t *count, ef_str carrier) {
    for (size_t i = 0; i < *count; i++) {
        if (compare(all[i].carrier, carrier) == 0) return &all[i];
    }
    all[*count] = (sums){.carrier = carrier};
    return &all[(*count)++];
}

static void handle(ef_tx *tx, const ef_event *events, size_t count) {
    sums *all = ef_alloc(count * sizeof(sums));
    size_t carriers = 0;
    for (size_t i = 0; i < count; i++) {
        const ef_event *event = &events[i];
        sums *s = of_carrier(all, &carriers, ef_event_text(event, "carrier"));
        if (ef_str_equals(event->event_type, "FlightDeparted")) {
            s->departed++;
        } else if (ef_str_equals(event->event_type, "FlightArrived")) {
            s->arrived++;
            s->delay += ef_event_int64(event, "arr_delay"); // negative when early
        } else if (ef_str_equals(event->event_type, "FlightDiverted")) {
            s->diverted++;
        } else {
            s->cancelled++;
        }
    }
    qsort(all, carriers, sizeof(sums), by_carrier);
    for (sums *s = all; s < all + carriers; s++) {
        ef_run(tx, upsert, ef_text(s->carrier), ef_int64(s->departed), ef_int64(s->arrived), ef_int64(s->diverted),
               ef_int64(s->cancelled), ef_int64(s->delay));
    }
}

static const ef_projection projection = {
    .name = "carriers",
    .text = "Flights of each carrier by outcome, and their minutes of delay",
    .mode = EF_ASYNC,
    .migrations = (const ef_migration[]){{"001_create_carriers.sql", create_carriers}, {0}},
    .handle_batch = handle,
    .event_types = (const char *const[]){"FlightDeparted", "FlightArrived", "FlightDiverted", "FlightCancelled", NULL},
};

EF_EXPORT(projection)
