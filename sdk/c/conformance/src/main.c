// The plugin of sdk/conformance, in C.

#include <stdlib.h>

#include "written.h"

static const char create_tables[] = {
#embed "../../../conformance/migrations/001_create_tables.sql"
    , 0};
static const char create_read_models[] = {
#embed "../../../conformance/migrations/002_create_read_models.sql"
    , 0};

static const ef_table counters = EF_TABLE("counters", "area", "key");
static const ef_table labels = EF_TABLE("labels", "key");

#define INSERT_NUMBER "INSERT INTO numbers (position, n) VALUES ($1, $2)"
#define INSERT_NOTE "INSERT INTO notes (position, text) VALUES ($1, $2)"

static ef_value position(const ef_event *event) { return ef_int64((int64_t)event->position); }

static void counted(ef_tx *tx, const ef_event *event) {
    ef_run(tx, INSERT_NUMBER, position(event), ef_int64(ef_event_int64(event, "n")));
}

static void euros_to_cents(ef_payload *payload) {
    int64_t euros = ef_payload_int64(payload, "euros");
    ef_payload_remove(payload, "euros");
    ef_payload_set_int64(payload, "cents", euros * 100);
}

static void priced(ef_tx *tx, const ef_event *event) {
    ef_run(tx, "INSERT INTO prices (position, cents) VALUES ($1, $2)", position(event),
           ef_int64(ef_event_int64(event, "cents")));
}

static void noted(ef_tx *tx, const ef_event *event) {
    ef_run(tx,
           "INSERT INTO events (position, id, tenant, aggregate, aggregate_id, version, event_type, schema_version, payload, "
           "occurred_at, correlation_id, causation_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
           position(event), ef_uuid(event->id), ef_text(event->tenant), ef_text(event->aggregate),
           ef_text(event->aggregate_id), ef_int32((int32_t)event->version), ef_text(event->event_type),
           ef_int32((int32_t)event->schema_version), ef_json(event->payload), ef_timestamptz(event->occurred_at),
           ef_text(event->correlation_id), ef_text(event->causation_id));
}

static void incremented(ef_tx *tx, const ef_event *event) {
    ef_value key[] = {ef_text(ef_event_text(event, "area")), ef_text(ef_event_text(event, "key"))};
    ef_increment(tx, &counters, key, 2, EF_COLUMNS({"n", ef_int64(ef_event_int64(event, "by"))}));
    ef_upsert(tx, &counters, key, 2, EF_COLUMNS({"last", position(event)}));
}

static void labelled(ef_tx *tx, const ef_event *event) {
    ef_upsert(tx, &labels, EF_KEY(ef_text(ef_event_text(event, "key"))),
              EF_COLUMNS({"label", ef_text(ef_event_optional_text(event, "label"))}));
}

static void removed(ef_tx *tx, const ef_event *event) {
    ef_str key = ef_event_text(event, "key");
    ef_delete(tx, &counters, EF_KEY(ef_text(ef_event_text(event, "area")), ef_text(key)));
    ef_delete(tx, &labels, EF_KEY(ef_text(key)));
}

static void emptied(ef_tx *tx, const ef_event *event) {
    ef_run(tx, "DELETE FROM counters WHERE area = $1", ef_text(ef_event_text(event, "area")));
}

static void summed(ef_tx *tx, const ef_event *event) {
    ef_rows *rows = ef_query_one(tx, "SELECT coalesce(sum(n), 0)::bigint AS sum FROM counters");
    ef_run(tx, INSERT_NUMBER, position(event), ef_int64(ef_row_int64(rows, 0, "sum")));
}

static void repeated(ef_tx *tx, const ef_event *event) {
    ef_str once = ef_event_text(event, "text");
    size_t times = (size_t)ef_event_int64(event, "times");
    ef_str all = {ef_alloc(once.len * times), once.len * times};
    for (size_t i = 0; i < times; i++) memcpy(all.ptr + i * once.len, once.ptr, once.len);
    ef_run(tx, INSERT_NOTE, position(event), ef_text(all));
    ef_rows *rows = ef_query_one(tx, "SELECT text FROM notes WHERE position = $1", position(event));
    ef_str read = ef_row_text(rows, 0, "text");
    int64_t code_points = 0;
    for (size_t i = 0; i < read.len; i++) code_points += (read.ptr[i] & 0xC0) != 0x80;
    ef_run(tx, INSERT_NUMBER, position(event), ef_int64(code_points));
}

static void listed(ef_tx *tx, const ef_event *event) {
    ef_rows *rows = ef_query(tx, "SELECT g, g::text AS t FROM generate_series(1::bigint, $1) AS g",
                             ef_int64(ef_event_int64(event, "upto")));
    int64_t sum = 0;
    for (size_t i = 0; rows && i < rows->count; i++) {
        sum += ef_row_int64(rows, i, "g");
        sum += atoll((const char *)ef_format("%.*s", EF_STR(ef_row_text(rows, i, "t"))).ptr);
    }
    ef_run(tx, INSERT_NUMBER, position(event), ef_int64(sum));
}

static void logged(ef_tx *tx, const ef_event *event) {
    static const char *const levels[] = {"trace", "debug", "info", "warn", "error"};
    ef_str level = ef_event_text(event, "level"), text = ef_event_text(event, "text");
    for (int i = 0; i < 5; i++) {
        if (ef_str_equals(level, levels[i])) {
            ef_log((ef_level)i, "%.*s", EF_STR(text));
            return;
        }
    }
    ef_poison(tx, "there is no level %.*s", EF_STR(level));
}

static void configured(ef_tx *tx, const ef_event *event) {
    ef_str value = ef_config((const char *)ef_format("%.*s", EF_STR(ef_event_text(event, "key"))).ptr);
    ef_run(tx, INSERT_NOTE, position(event), value.ptr ? ef_text(value) : ef_text("not set"));
}

static void failed(ef_tx *tx, const ef_event *event) {
    ef_str how = ef_event_text(event, "how");
    if (ef_str_equals(how, "poison")) {
        ef_poison(tx, "by hand");
    } else if (ef_str_equals(how, "retry")) {
        ef_retry(tx, "by hand");
    } else if (ef_str_equals(how, "fatal")) {
        ef_fatal(tx, "by hand");
    } else if (ef_str_equals(how, "exception")) {
        ef_log(EF_ERROR, "unforeseen");
        abort();
    } else if (ef_str_equals(how, "missing_table")) {
        ef_run(tx, "INSERT INTO nowhere (position) VALUES ($1)", position(event));
    } else if (ef_str_equals(how, "wrong_count")) {
        ef_execute(tx, INSERT_NOTE, position(event));
    } else if (ef_str_equals(how, "wrong_type")) {
        ef_run(tx, INSERT_NUMBER, position(event), ef_text("many"));
    } else if (ef_str_equals(how, "null")) {
        ef_run(tx, INSERT_NOTE, position(event), ef_null());
    } else if (ef_str_equals(how, "unique")) {
        for (int i = 0; i < 2; i++) ef_run(tx, INSERT_NOTE, position(event), ef_text("again"));
    } else if (ef_str_equals(how, "swallowed")) {
        for (int i = 0; i < 2; i++) ef_execute(tx, INSERT_NOTE, position(event), ef_text("again"));
    } else if (ef_str_equals(how, "no_row")) {
        ef_query_one(tx, "SELECT n FROM numbers WHERE position = -1");
    } else if (ef_str_equals(how, "misfit")) {
        ef_row_int64(ef_query_one(tx, "SELECT 'x'::text AS t"), 0, "t");
    } else if (ef_str_equals(how, "null_read")) {
        ef_row_int64(ef_query_one(tx, "SELECT NULL::bigint AS n"), 0, "n");
    } else if (ef_str_equals(how, "denied")) {
        ef_query(tx, "SELECT now()");
    } else if (ef_str_equals(how, "loop")) {
        for (volatile int i = 0;; i++) continue;
    } else if (ef_str_equals(how, "allocate")) {
        for (;;) memset(ef_alloc(1 << 20), 1, 1 << 20);
    } else {
        ef_poison(tx, "there is no way to fail called %.*s", EF_STR(how));
    }
}

static const ef_projection projection = {
    .name = "conformance",
    .text = "What every SDK must do",
    .mode = EF_CATCH_UP,
    .migrations = (const ef_migration[]){{"001_create_tables.sql", create_tables},
                                         {"002_create_read_models.sql", create_read_models},
                                         {0}},
    .handlers =
        (const ef_handler[]){
            {"Written", written},
            {"Counted", counted},
            {"Priced", priced},
            {"Noted", noted},
            {"Incremented", incremented},
            {"Labelled", labelled},
            {"Removed", removed},
            {"Emptied", emptied},
            {"Summed", summed},
            {"Repeated", repeated},
            {"Listed", listed},
            {"Logged", logged},
            {"Configured", configured},
            {"Failed", failed},
            {0},
        },
    .upcasters = (const ef_upcaster[]){{"Priced", 1, euros_to_cents}, {0}},
};

EF_EXPORT(projection)
