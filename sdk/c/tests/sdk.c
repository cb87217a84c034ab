// The SDK's own tests: transactions, failures, payloads, upcasters, read models.

#include <limits.h>
#include <stdlib.h>

#include "eventfabric_testing.h"
#include "yyjson/yyjson.h"

#define INSERT "INSERT INTO seen VALUES ($1)"

// A projection that does the same for each event.
static void (*handler)(ef_tx *tx, const ef_event *event);
static void call_handler(ef_tx *tx, const ef_event *event) { handler(tx, event); }
static const ef_upcaster *upcasters;

static bool run_events(ef_recording *db, void (*handle)(ef_tx *, const ef_event *), projection_event_t *events, size_t count,
                       projection_failure_t *failure) {
    ef_projection projection = {
        .name = "test", .handlers = (const ef_handler[]){{NULL, call_handler}}, .upcasters = upcasters};
    handler = handle;
    return ef_test_run(&projection, db, events, count, failure);
}

static bool run(ef_recording *db, void (*handle)(ef_tx *, const ef_event *), size_t count, projection_failure_t *failure) {
    projection_event_t events[500];
    for (size_t i = 0; i < count; i++) events[i] = ef_test_event("Opened", "{}");
    return run_events(db, handle, events, count, failure);
}

static bool starts(ef_str text, const char *with) {
    return text.len >= strlen(with) && memcmp(text.ptr, with, strlen(with)) == 0;
}

static bool blames(projection_failure_t failure, int kind, uint32_t index, const char *message) {
    bool so = failure.kind == kind && failure.index.is_some && failure.index.val == index && ef_str_equals(failure.message, message);
    if (!so) fprintf(stderr, "kind %d, event %d %u: %.*s\n", failure.kind, failure.index.is_some, failure.index.val, EF_STR(failure.message));
    return so;
}

enum { RETRY, POISON, FATAL };

// ---- Transactions ----

static void write_then_read(ef_tx *tx, const ef_event *event) {
    (void)event;
    ef_run(tx, INSERT, ef_int64(1));
    ef_run(tx, INSERT, ef_int64(2));
    EF_CHECK(ef_row_int64(ef_query_one(tx, "SELECT count(*) AS n FROM seen"), 0, "n") == 2);
}

static void a_read_sees_what_was_queued_before_it(void) {
    ef_recording *db = ef_recording_new();
    ef_answer(db, "SELECT", "n", ef_int32(2));
    EF_CHECK(run(db, write_then_read, 1, NULL));
    EF_CHECK(ef_round_trips(db) == 2);
    EF_CHECK(strcmp(ef_recorded_text(db, "", 2), "SELECT count(*) AS n FROM seen") == 0);
}

static ef_recording *watched;

static void fill(ef_tx *tx, const ef_event *event) {
    (void)event;
    for (int i = 0; i < 1000; i++) ef_run(tx, INSERT, ef_int64(i));
    EF_CHECK(ef_round_trips(watched) == 1);
    char *big = malloc((1 << 20) + 1);
    memset(big, 'x', 1 << 20);
    big[1 << 20] = 0;
    ef_run(tx, INSERT, ef_text(big));
    memset(big, 'y', 1 << 20); // it was copied
    EF_CHECK(ef_round_trips(watched) == 2);
    ef_run(tx, INSERT, ef_text(big));
    free(big);
}

static void a_full_queue_is_written_out(void) {
    watched = ef_recording_new();
    EF_CHECK(run(watched, fill, 1, NULL));
    EF_CHECK(ef_round_trips(watched) == 3);
    EF_CHECK(ef_recorded(watched, INSERT, 999, ef_int64(999)));
}

static void swallow(ef_tx *tx, const ef_event *event) {
    (void)event;
    EF_CHECK(ef_execute(tx, INSERT, ef_int64(1)) == 0);
    EF_CHECK(ef_failed(tx));
    ef_run(tx, "UPDATE seen SET id = 1");
    ef_poison(tx, "something else");
}

static void a_failed_transaction_fails_for_good(void) {
    ef_recording *db = ef_recording_new();
    projection_failure_t failure;
    ef_answer_error(db, "INSERT", EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONSTRAINT, "23505", "duplicate key");
    EF_CHECK(!run(db, swallow, 2, &failure));
    EF_CHECK(blames(failure, POISON, 0, "duplicate key (SQLSTATE 23505)\nstatement: " INSERT));
    EF_CHECK(ef_recorded_count(db, "") == 1);
}

static void queue_one_bad(ef_tx *tx, const ef_event *event) {
    if (event->index == 1) ef_run(tx, "UPDATE seen SET id = 1");
    else ef_run(tx, INSERT, ef_int64((int64_t)event->position));
}

static void a_failure_names_the_event_that_queued_the_statement(void) {
    struct { int sql, failure; } kinds[] = {
        {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_RETRYABLE, RETRY}, {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONNECTION, RETRY},
        {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONSTRAINT, POISON}, {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_DENIED, FATAL},
        {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_INVALID, FATAL}, {EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_LIMIT, FATAL},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ef_recording *db = ef_recording_new();
        projection_failure_t failure;
        ef_answer_error(db, "UPDATE", (uint8_t)kinds[i].sql, "", "no");
        EF_CHECK(!run(db, queue_one_bad, 3, &failure));
        EF_CHECK(blames(failure, kinds[i].failure, 1, "no\nstatement: UPDATE seen SET id = 1"));
    }
}

static void by_hand(ef_tx *tx, const ef_event *event) {
    if (event->index == 2) ef_retry(tx, "order %d: %s", 42, "later");
}

static void blame_none(ef_tx *tx, const ef_event *event) {
    ef_blame(tx, event->index == 1 ? event : NULL);
    if (event->index == 2) ef_fatal(tx, "all of them");
}

static void a_failure_by_hand_is_that_of_its_event(void) {
    projection_failure_t none;
    EF_CHECK(!run(ef_recording_new(), blame_none, 3, &none));
    EF_CHECK(none.kind == FATAL && !none.index.is_some);
    projection_failure_t failure;
    EF_CHECK(!run(ef_recording_new(), by_hand, 3, &failure));
    EF_CHECK(blames(failure, RETRY, 2, "order 42: later"));
}

// ---- Rows ----

static const char *wanted;

static void read_row(ef_tx *tx, const ef_event *event) {
    (void)event;
    ef_rows *rows = ef_query_one(tx, "SELECT c");
    if (strcmp(wanted, "integer") == 0) ef_row_int64(rows, 0, "c");
    else if (strcmp(wanted, "text") == 0) ef_row_text(rows, 0, "c");
    else ef_row_int64(rows, 0, "d");
}

static void a_row_that_does_not_fit_is_fatal_and_named(void) {
    struct { const char *wanted; ef_value value; const char *message; } cases[] = {
        {"integer", ef_text("x"), "column `c` is text, which is no integer: SELECT c"},
        {"integer", ef_null(), "column `c` is NULL, which is no integer: SELECT c"},
        {"text", ef_int64(1), "column `c` is bigint, which is no text: SELECT c"},
        {"d", ef_int64(1), "there is no column `d`: SELECT c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ef_recording *db = ef_recording_new();
        projection_failure_t failure;
        ef_answer(db, "SELECT", "c", cases[i].value);
        wanted = cases[i].wanted;
        EF_CHECK(!run(db, read_row, 1, &failure));
        EF_CHECK(blames(failure, FATAL, 0, cases[i].message));
    }
    projection_failure_t failure;
    EF_CHECK(!run(ef_recording_new(), read_row, 1, &failure));
    EF_CHECK(blames(failure, FATAL, 0, "no row where one is expected: SELECT c"));
}

// ---- Payloads ----

#define WHOLE                                                                                                        \
    "{\"text\": \"a\\\"ä\", \"big\": -9223372036854775808, \"price\": 12.50, \"rate\": 0.5, \"flag\": true, \"none\": null, "     \
    "\"address\": {\"city\": \"Ulm\"}, \"list\": [{\"n\": 1}, {\"n\": 9007199254740993}]}"

static void read_payload(ef_tx *tx, const ef_event *event) {
    (void)tx;
    EF_CHECK(ef_str_equals(ef_event_text(event, "text"), "a\"ä"));
    EF_CHECK(ef_event_int64(event, "big") == INT64_MIN);
    EF_CHECK(ef_str_equals(ef_event_numeric(event, "price"), "12.50"));
    EF_CHECK(ef_event_float64(event, "rate") == 0.5);
    EF_CHECK(ef_event_bool(event, "flag"));
    EF_CHECK(!ef_event_optional_text(event, "none").ptr && !ef_event_has(event, "nothing"));
    EF_CHECK(ef_str_equals(ef_event_text(event, "address.city"), "Ulm"));
    EF_CHECK(ef_event_count(event, "list") == 2);
    EF_CHECK(ef_event_int64(event, "list.1.n") == 9007199254740993);
    EF_CHECK(ef_str_equals(ef_event_json(event, "list"), "[{\"n\":1},{\"n\":9007199254740993}]"));
}

static void a_payload_is_read_exactly(void) {
    projection_event_t event = ef_test_event("Opened", WHOLE);
    EF_CHECK(run_events(ef_recording_new(), read_payload, &event, 1, NULL));
}

static void read_misfits(ef_tx *tx, const ef_event *event) {
    (void)tx;
    ef_event_text(event, "text");
    ef_event_int64(event, "big");
    ef_event_text(event, "address.city");
}

static void a_payload_that_does_not_fit_is_poison_and_named(void) {
    const char *cases[][2] = {
        {"{\"big\": 1}", "missing field `text`"},
        {"{\"text\": null}", "field `text`: expected a text, found null"},
        {"{\"text\": \"x\", \"big\": 1.5}", "field `big`: expected an integer of 64 bits, found 1.5"},
        {"{\"text\": \"x\", \"big\": 9223372036854775808}", "field `big`: expected an integer of 64 bits, found 9223372036854775808"},
        {"{\"text\": \"x\", \"big\": \"1\"}", "field `big`: expected an integer of 64 bits, found \"1\""},
        {"{\"text\": \"x\", \"big\": 1, \"address\": {}}", "missing field `address.city`"},
        {"{\"text\": ", "unexpected end of data at byte 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        projection_event_t events[2] = {ef_test_event("Opened", "{\"text\": \"\", \"big\": 0, \"address\": {\"city\": \"\"}}"),
                                        ef_test_event("Opened", cases[i][0])};
        projection_failure_t failure;
        char message[200];
        snprintf(message, sizeof message, "the payload of Opened version 1 at position 2 (stream Test/1) can't be read: %s", cases[i][1]);
        EF_CHECK(!run_events(ef_recording_new(), read_misfits, events, 2, &failure));
        EF_CHECK(blames(failure, POISON, 1, message));
    }
}

// ---- Upcasters ----

static void mark(ef_payload *payload) {
    int64_t seen = yyjson_mut_obj_get(payload->root, "seen") ? ef_payload_int64(payload, "seen") : 0;
    ef_payload_set_int64(payload, "seen", seen + 1);
    if (yyjson_mut_obj_get(payload->root, "bad")) ef_poison(payload->tx, "a bad payload");
}

static const ef_upcaster steps[] = {{"Opened", 2, mark}, {"Opened", 1, mark}, {"Closed", 4, mark}, {0}};

static void check_lifted(ef_tx *tx, const ef_event *event) {
    (void)tx;
    EF_CHECK(event->schema_version == 3);
    EF_CHECK(ef_str_equals(event->payload, "{\"big\":12345678901234567890123,\"version\":3,\"seen\":2}"));
    EF_CHECK(ef_event_int64(event, "seen") == 2);
}

static void check_untouched(ef_tx *tx, const ef_event *event) {
    (void)tx;
    EF_CHECK(event->schema_version == 7 && ef_str_equals(event->payload, "{ }"));
}

static void events_are_lifted_step_by_step(void) {
    upcasters = steps;
    projection_event_t event = ef_test_event("Opened", "{\"big\": 12345678901234567890123, \"version\": 1}");
    EF_CHECK(run_events(ef_recording_new(), check_lifted, &event, 1, NULL));
    event = ef_test_event("Moved", "{ }");
    event.schema_version = 7;
    EF_CHECK(run_events(ef_recording_new(), check_untouched, &event, 1, NULL));
    struct { const char *type, *payload; uint32_t version; const char *message; } cases[] = {
        {"Opened", "{}", 4, "Opened version 4 at position 1 (stream Test/1): the schema version is newer than this plugin"},
        {"Closed", "{}", 1, "Closed version 1 at position 1 (stream Test/1): nothing lifts schema version 1 to 2"},
        {"Opened", "{\"bad\": 1}", 2, "the upcaster of Opened from schema version 2: a bad payload"},
        {"Opened", "{\"seen\": \"x\"}", 2, "the upcaster of Opened from schema version 2: field `seen` is no integer of 64 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        projection_failure_t failure;
        event = ef_test_event(cases[i].type, cases[i].payload);
        event.schema_version = cases[i].version;
        EF_CHECK(!run_events(ef_recording_new(), check_untouched, &event, 1, &failure));
        EF_CHECK(failure.kind == POISON && failure.index.is_some && starts(failure.message, cases[i].message));
    }
    upcasters = NULL;
}

// ---- Read models ----

static const ef_table counters = EF_TABLE("counters", "area", "key");

static void count_up(ef_tx *tx, const ef_event *event) {
    ef_increment(tx, &counters, EF_KEY(ef_text("a"), ef_int32(1)), EF_COLUMNS({"n", ef_int64(2)}));
    ef_upsert(tx, &counters, EF_KEY(ef_text("a"), ef_int64(1)), EF_COLUMNS({"last", ef_int64((int64_t)event->position)}));
}

static void a_counter_that_a_batch_touches_often_is_written_once(void) {
    ef_recording *db = ef_recording_new();
    EF_CHECK(run(db, count_up, 500, NULL));
    EF_CHECK(ef_recorded_count(db, "") == 1);
    EF_CHECK(strcmp(ef_recorded_text(db, "", 0),
                    "INSERT INTO \"counters\" AS t (\"area\", \"key\", \"last\", \"n\") VALUES ($1, $2, $3, $4) ON CONFLICT (\"area\", \"key\") "
                    "DO UPDATE SET \"last\" = EXCLUDED.\"last\", \"n\" = coalesce(t.\"n\", 0) + EXCLUDED.\"n\"") == 0);
    EF_CHECK(ef_recorded(db, "", 0, ef_text("a"), ef_int32(1), ef_int64(500), ef_int64(1000)));
}

static void add_too_much(ef_tx *tx, const ef_event *event) {
    (void)event;
    for (int i = 0; i < 2; i++) ef_increment(tx, &counters, EF_KEY(ef_text("a"), ef_int64(1)), EF_COLUMNS({"n", ef_int64(INT64_MAX)}));
}

static void one_row_of_many_events(ef_tx *tx, const ef_event *event) {
    ef_delete(tx, &counters, EF_KEY(ef_text("a"), ef_int64(1)));
    if (event->index == 1) ef_delete(tx, &counters, EF_KEY(ef_text("b"), ef_int64(1)));
}

static void rows_are_blamed_on_their_event(void) {
    projection_failure_t failure;
    EF_CHECK(!run(ef_recording_new(), add_too_much, 1, &failure));
    EF_CHECK(blames(failure, POISON, 0, "column `n` of counters: the sum is greater than a bigint"));
    ef_recording *db = ef_recording_new();
    ef_answer_error(db, "DELETE", EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONSTRAINT, "", "no");
    EF_CHECK(!run(db, one_row_of_many_events, 3, &failure));
    EF_CHECK(failure.kind == POISON && !failure.index.is_some);
}

static void empty_between(ef_tx *tx, const ef_event *event) {
    (void)event;
    ef_upsert(tx, &counters, EF_KEY(ef_text("a"), ef_int64(1)), EF_COLUMNS({"n", ef_int64(1)}));
    ef_run(tx, "DELETE FROM other_counters");
    ef_run(tx, "DELETE FROM Counters");
    ef_upsert(tx, &counters, EF_KEY(ef_text("a"), ef_int64(1)), EF_COLUMNS({"n", ef_int64(2)}));
}

static void a_statement_that_names_the_table_keeps_its_place(void) {
    ef_recording *db = ef_recording_new();
    EF_CHECK(run(db, empty_between, 1, NULL));
    const char *order[] = {"DELETE FROM other_counters", "INSERT INTO \"counters\"", "DELETE FROM Counters", "INSERT INTO \"counters\""};
    EF_CHECK(ef_recorded_count(db, "") == 4);
    for (size_t i = 0; i < 4; i++) EF_CHECK(strncmp(ef_recorded_text(db, "", i), order[i], strlen(order[i])) == 0);
}

// The table by a model: key 0 to 5, with columns n and m, each a number or NULL.
typedef struct { bool there, has[2]; int64_t value[2]; } model_row;

static unsigned seed = 1;
static int chance(int below) {
    seed = seed * 1103515245u + 12345u;
    return (int)(seed >> 16) % below;
}

static model_row plain[6];

static void change_plain(int key, int column, bool null, int64_t value, bool adds) {
    model_row *row = &plain[key];
    row->value[column] = value + (adds && row->has[column] ? row->value[column] : 0);
    row->has[column] = !null;
}

static void change_at_random(ef_tx *tx, const ef_event *event) {
    (void)event;
    int key = chance(6), how = chance(3);
    ef_value parts[] = {ef_text(key < 3 ? "a" : "b"), ef_int64(key % 3)};
    if (how == 2) {
        ef_delete(tx, &counters, parts, 2);
        plain[key] = (model_row){0};
        return;
    }
    static const char *const names[] = {"m", "n"};
    ef_column columns[2];
    size_t count = 0;
    plain[key].there = true;
    for (int i = 0; i < 2; i++) {
        if (chance(3) == 0) continue;
        bool null = how == 0 && chance(4) == 0;
        int64_t value = null ? 0 : chance(9) - 4;
        columns[count++] = (ef_column){names[i], null ? ef_null() : ef_int64(value)};
        change_plain(key, i, null, value, how == 1);
    }
    if (how == 0) ef_upsert(tx, &counters, parts, 2, columns, count);
    else ef_increment(tx, &counters, parts, 2, columns, count);
}

// Applies what reached the database.
static void apply(const ef_recording *db, model_row rows[6]) {
    for (size_t i = 0; i < ef_recorded_count(db, ""); i++) {
        const char *text = ef_recorded_text(db, "", i);
        bool b = ef_value_equals(*ef_recorded_param(db, "", i, 0), ef_text("b"));
        model_row *row = &rows[(b ? 3 : 0) + ef_recorded_param(db, "", i, 1)->val.int64];
        if (strncmp(text, "DELETE", 6) == 0) {
            *row = (model_row){0};
            continue;
        }
        row->there = true;
        static const char *const columns[] = {"\"m\"", "\"n\""}, *const adds[] = {"coalesce(t.\"m\"", "coalesce(t.\"n\""};
        size_t param = 2;
        for (int c = 0; c < 2; c++) {
            if (!strstr(text, columns[c])) continue;
            ef_value value = *ef_recorded_param(db, "", i, param++);
            bool null = value.tag == EVENTFABRIC_PROJECTION_SQL_VALUE_NULL;
            int64_t before = strstr(text, adds[c]) && row->has[c] ? row->value[c] : 0;
            row->value[c] = null ? 0 : before + value.val.int64;
            row->has[c] = !null;
        }
    }
}

static void merged_rows_are_those_of_one_statement_for_each_call(void) {
    for (int round = 0; round < 100; round++) {
        model_row merged[6] = {0};
        memset(plain, 0, sizeof plain);
        for (int batch = 0; batch < 3; batch++) {
            ef_recording *db = ef_recording_new();
            EF_CHECK(run(db, change_at_random, (size_t)chance(20), NULL));
            apply(db, merged);
        }
        for (int key = 0; key < 6; key++) {
            EF_CHECK(merged[key].there == plain[key].there);
            for (int c = 0; c < 2; c++) {
                EF_CHECK(merged[key].has[c] == plain[key].has[c]);
                EF_CHECK(merged[key].value[c] == plain[key].value[c]);
            }
        }
    }
}

// ---- The rest ----

static void read_settings(ef_tx *tx, const ef_event *event) {
    (void)tx, (void)event;
    EF_CHECK(ef_str_equals(ef_config("region"), "eu"));
    EF_CHECK(!ef_config("zone").ptr);
}

static void settings_are_read_by_key(void) {
    ef_test_config("region", "eu");
    EF_CHECK(run(ef_recording_new(), read_settings, 1, NULL));
}

// ---- Queries ----

static ef_rows *all_things(ef_tx *tx, const ef_request *request) {
    return ef_query(tx, "SELECT n FROM things", ef_param(request, "kind"), ef_param(request, "at"),
                    ef_int64(ef_param_int64(request, "limit", 10)), ef_bool(ef_param_given(request, "at")));
}

static ef_rows *own_things(ef_tx *tx, const ef_request *request) {
    return ef_query(tx, "SELECT n FROM things WHERE tenant = $1", ef_text(request->tenant));
}

static ef_rows *careless(ef_tx *tx, const ef_request *request) {
    (void)request;
    ef_query(tx, "SELECT nothing");
    ef_rows *rows = ef_rows_new(tx, (const char *const[]){"n"}, 1);
    ef_rows_add(rows, EF_KEY(ef_int64(1)));
    return rows;
}

static ef_rows *made(ef_tx *tx, const ef_request *request) {
    (void)request;
    ef_rows *rows = ef_rows_new(tx, (const char *const[]){"a", "b"}, 2);
    for (int i = 0; i < 9; i++) ef_rows_add(rows, EF_KEY(ef_int64(i), ef_text(ef_format("row %d", i))));
    return rows;
}

static ef_rows *uneven(ef_tx *tx, const ef_request *request) {
    (void)request;
    ef_rows *rows = ef_rows_new(tx, (const char *const[]){"a", "b"}, 2);
    ef_rows_add(rows, EF_KEY(ef_int64(1)));
    return rows;
}

static ef_rows *nothing(ef_tx *tx, const ef_request *request) {
    (void)tx;
    (void)request;
    return NULL;
}

static ef_rows *unknown(ef_tx *tx, const ef_request *request) {
    ef_param_int64(request, "limit", 0);
    return nothing(tx, request);
}

static ef_rows *wrong_type(ef_tx *tx, const ef_request *request) {
    ef_param_int64(request, "kind", 0);
    return nothing(tx, request);
}

static ef_rows *refused(ef_tx *tx, const ef_request *request) {
    ef_poison(tx, "there is no %.*s", EF_STR(ef_param_text(request, "kind")));
    return NULL;
}

static const ef_parameter kind_only[] = {{"kind", "Which one", EF_PARAM_TEXT, false}, {0}};
static const ef_parameter thing_parameters[] = {{"kind", "Which one", EF_PARAM_TEXT, false},
                                                {"limit", NULL, EF_PARAM_INT64, true},
                                                {"at", "When", EF_PARAM_TIMESTAMPTZ, true},
                                                {0}};
static const ef_named_query queries[] = {
    {"all", "All of them", all_things, thing_parameters, false}, {"own", NULL, own_things, NULL, true},
    {"careless", NULL, careless, NULL, false}, {"made", NULL, made, NULL, false}, {"uneven", NULL, uneven, NULL, false},
    {"nothing", NULL, nothing, NULL, false}, {"unknown", NULL, unknown, NULL, false},
    {"wrong_type", NULL, wrong_type, kind_only, false}, {"refused", NULL, refused, kind_only, false}, {0}};

static void queries_describe_themselves(void) {
    exports_eventfabric_query_queries_list_query_description_t list = ef_test_describe_queries(queries);
    EF_CHECK(list.len == 9);
    EF_CHECK(ef_str_equals(list.ptr[0].name, "all") && ef_str_equals(list.ptr[0].text, "All of them"));
    EF_CHECK(!list.ptr[0].per_tenant && list.ptr[1].per_tenant && list.ptr[1].parameters.len == 0);
    EF_CHECK(list.ptr[0].parameters.len == 3);
    exports_eventfabric_query_queries_parameter_t *parameters = list.ptr[0].parameters.ptr;
    EF_CHECK(ef_str_equals(parameters[0].text, "Which one") && parameters[0].required);
    EF_CHECK(parameters[0].type == EXPORTS_EVENTFABRIC_QUERY_QUERIES_PARAMETER_TYPE_TEXT);
    EF_CHECK(ef_str_equals(parameters[2].name, "at") && !parameters[2].required);
    EF_CHECK(parameters[2].type == EXPORTS_EVENTFABRIC_QUERY_QUERIES_PARAMETER_TYPE_TIMESTAMPTZ);
}

static void parameters_reach_the_statement(void) {
    ef_recording *db = ef_recording_new();
    eventfabric_projection_sql_row_set_t rows;
    ef_answer(db, "SELECT n", "n", ef_int64(9007199254740993));
    EF_CHECK(ef_test_query(queries, db, "all", EF_COLUMNS({"kind", ef_text("x")}, {"at", ef_timestamptz(-1)}), &rows, NULL));
    EF_CHECK(rows.columns.len == 1 && ef_str_equals(rows.columns.ptr[0], "n"));
    EF_CHECK(rows.rows.len == 1 && ef_value_equals(rows.rows.ptr[0].ptr[0], ef_int64(9007199254740993)));
    EF_CHECK(ef_recorded(db, "SELECT n", 0, ef_text("x"), ef_timestamptz(-1), ef_int64(10), ef_bool(true)));
    EF_CHECK(ef_test_query(queries, db, "all", EF_COLUMNS({"kind", ef_text("y")}, {"limit", ef_int64(3)}), NULL, NULL));
    EF_CHECK(ef_recorded(db, "SELECT n", 1, ef_text("y"), ef_null(), ef_int64(3), ef_bool(false)));
    EF_CHECK(ef_test_query(queries, db, "own", NULL, 0, NULL, NULL));
    EF_CHECK(ef_recorded(db, "tenant = $1", 0, ef_text("default")));
}

static void a_plugin_makes_rows(void) {
    eventfabric_projection_sql_row_set_t rows;
    EF_CHECK(ef_test_query(queries, ef_recording_new(), "made", NULL, 0, &rows, NULL));
    EF_CHECK(rows.rows.len == 9 && rows.columns.len == 2);
    for (int i = 0; i < 9; i++) {
        EF_CHECK(ef_value_equals(rows.rows.ptr[i].ptr[0], ef_int64(i)));
        EF_CHECK(rows.rows.ptr[i].ptr[1].val.text.ptr[4] == '0' + i);
    }
}

static void a_query_that_fails_says_why(void) {
    struct { const char *name; ef_column given; size_t count; int kind; const char *message; } cases[] = {
        {"all", {0}, 0, POISON, "parameter kind is missing"},
        {"all", {"kind", ef_int64(1)}, 1, POISON, "parameter kind is no text"},
        {"no", {0}, 0, POISON, "there is no query no"},
        {"careless", {0}, 0, FATAL, "no such column (SQLSTATE 42703)\nstatement: SELECT nothing"},
        {"uneven", {0}, 0, FATAL, "row 0 has 1 values for 2 columns"},
        {"nothing", {0}, 0, FATAL, "query nothing returned neither rows nor a failure"},
        {"unknown", {0}, 0, FATAL, "this query has no parameter \"limit\""},
        {"wrong_type", {"kind", ef_text("x")}, 1, FATAL, "parameter \"kind\" is no int64"},
        {"refused", {"kind", ef_text("x")}, 1, POISON, "there is no x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ef_recording *db = ef_recording_new();
        ef_answer_error(db, "nothing", EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_INVALID, "42703", "no such column");
        projection_failure_t failure;
        EF_CHECK(!ef_test_query(queries, db, cases[i].name, &cases[i].given, cases[i].count, NULL, &failure));
        bool so = failure.kind == cases[i].kind && !failure.index.is_some && ef_str_equals(failure.message, cases[i].message);
        if (!so) fprintf(stderr, "%s: kind %d: %.*s\n", cases[i].name, failure.kind, EF_STR(failure.message));
        EF_CHECK(so);
    }
}

// ---- The log ----

static void lift_added(ef_payload *payload) { ef_payload_set_int64(payload, "n", 7); }
static const ef_upcaster added_steps[] = {{"Added", 1, lift_added}, {0}};

static projection_event_t added(uint32_t schema_version) {
    projection_event_t event = ef_test_event("Added", "{\"type\": \"Added\", \"n\": 3}");
    event.schema_version = schema_version;
    return event;
}

static void load_and_append(ef_tx *tx, const ef_event *event) {
    if (event->index == 0) return;
    uint32_t version = ef_append(tx, event, "Sum", ef_str_of("1"), ef_exact(507), NULL,
                                 EF_EVENTS({"Added", ef_object(tx, EF_COLUMNS({"n", ef_int64(8)})), 2, "sums"}));
    EF_CHECK(version == 508);
    ef_stream *stream = ef_load(tx, event, "Sum", ef_str_of("1"));
    EF_CHECK(stream && stream->count == 508 && stream->version == 508);
    if (!stream) return;
    EF_CHECK(ef_event_int64(&stream->events[0], "n") == 7);   // lifted
    EF_CHECK(ef_event_int64(&stream->events[506], "n") == 3); // of the newest version
    EF_CHECK(ef_event_int64(&stream->events[507], "n") == 8);
    ef_stream *rest = ef_load_after(tx, event, "Sum", ef_str_of("1"), 506);
    EF_CHECK(rest && rest->count == 2 && rest->events[0].version == 507);
    ef_stream *other = ef_load(tx, event, "Sum", ef_str_of("2"));
    EF_CHECK(other && other->count == 0 && other->version == 0);
}

static void a_stream_is_loaded_whole_with_what_was_appended(void) {
    ef_recording *db = ef_recording_new();
    for (int i = 0; i < 507; i++) ef_test_stream(db, "Sum", "1", added(i == 506 ? 2 : 1));
    upcasters = added_steps;
    EF_CHECK(run(db, load_and_append, 2, NULL));
    upcasters = NULL;
    const ef_test_appended *fact = ef_appended(db, 0);
    EF_CHECK(fact && fact->cause == 1 && fact->schema_version == 2 && strcmp(fact->topic, "sums") == 0);
    EF_CHECK(fact && strcmp(fact->payload, "{\"n\":8}") == 0 && strcmp(fact->aggregate, "Sum") == 0);
    EF_CHECK(!ef_appended(db, 1));
}

static void conflicts(ef_tx *tx, const ef_event *event) {
    bool conflict;
    uint32_t version = ef_append(tx, event, "Sum", ef_str_of("1"), ef_no_stream(), &conflict, EF_EVENTS({.event_type = "Added"}));
    EF_CHECK(conflict && version == event->index + 1 && !ef_failed(tx));
    if (event->index == 0) {
        EF_CHECK(ef_append(tx, event, "Sum", ef_str_of("1"), ef_exact(version), &conflict, EF_EVENTS({.event_type = "Added"})) == 2);
        EF_CHECK(!conflict);
        return;
    }
    ef_append(tx, event, "Sum", ef_str_of("1"), ef_exact(9), NULL, EF_EVENTS({.event_type = "Added"}));
    EF_CHECK(ef_failed(tx));
    EF_CHECK(ef_append(tx, event, "Sum", ef_str_of("1"), ef_any_version(), NULL, EF_EVENTS({.event_type = "Added"})) == 0);
}

static void a_conflict_leaves_the_transaction_usable(void) {
    ef_recording *db = ef_recording_new();
    ef_test_stream(db, "Sum", "1", added(1));
    projection_failure_t failure;
    EF_CHECK(!run(db, conflicts, 2, &failure));
    EF_CHECK(blames(failure, RETRY, 1, "somebody else has appended to the stream, which is at version 2"));
    EF_CHECK(ef_appended(db, 0) && strcmp(ef_appended(db, 0)->payload, "{}") == 0 && !ef_appended(db, 1));
}

static void load_only(ef_tx *tx, const ef_event *event) {
    EF_CHECK(ef_load(tx, event, "Sum", ef_str_of("1")) == NULL);
}

static void what_the_log_refuses_blames_its_event(void) {
    struct { uint8_t error; int kind; } kinds[] = {
        {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_DENIED, POISON},
        {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_INVALID, POISON},
        {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_LIMIT, POISON},
        {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_DATABASE, RETRY},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ef_recording *db = ef_recording_new();
        projection_failure_t failure;
        ef_test_refuse(db, kinds[i].error, "not now");
        EF_CHECK(!run(db, load_only, 1, &failure));
        EF_CHECK(blames(failure, kinds[i].kind, 0, "not now"));
    }
}

// ---- JSON ----

static void write_json(ef_tx *tx, const ef_event *event) {
    (void)event;
    ef_str json = ef_object(tx, EF_COLUMNS({"i", ef_int64(INT64_MIN)}, {"t", ef_text("a\"\nä")}, {"b", ef_bool(true)}, {"n", ef_null()},
                                           {"d", ef_numeric(ef_str_of("12.50"))}, {"j", ef_json(ef_str_of("[1.10]"))},
                                           {"f", ef_float64(0.5)}));
    EF_CHECK(ef_str_equals(json, "{\"i\":-9223372036854775808,\"t\":\"a\\\"\\nä\",\"b\":true,\"n\":null,\"d\":\"12.50\","
                                 "\"j\":[1.10],\"f\":0.5}"));
    EF_CHECK(!ef_failed(tx));
    ef_object(tx, EF_COLUMNS({"at", ef_timestamptz(0)}));
}

static void json_is_written_exactly(void) {
    projection_failure_t failure;
    EF_CHECK(!run(ef_recording_new(), write_json, 1, &failure));
    EF_CHECK(blames(failure, FATAL, 0, "field `at`: no JSON is made of such a value: give it as a text"));
}

// ---- Requests ----

static void send_three(ef_tx *tx, const ef_event *event) {
    if (event->index == 0) return;
    const ef_response *response = ef_send(tx, event, (ef_request_to){
        .url = ef_str_of("https://h/x"), .json = ef_object(tx, EF_COLUMNS({"n", ef_int64(1)})), .timeout_ms = 500,
        .headers = (const ef_header[]){{"x-a", ef_str_of("1")}, {0}}});
    EF_CHECK(ef_response_check(response) && response->status == 202);
    EF_CHECK(ef_str_equals(ef_response_header(response, "X-Id"), "7") && !ef_response_header(response, "x-none").ptr);
    yyjson_val *root = ef_response_json(response);
    EF_CHECK(root && strcmp(yyjson_get_raw(yyjson_obj_get(root, "n")), "3") == 0);
    EF_CHECK(ef_response_check(ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/y")})));
    EF_CHECK(ef_response_check(ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/z"), .method = "PUT", .body = ef_str_of("text")})));
    EF_CHECK(!ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/z"), .method = "put"}));
    EF_CHECK(!ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/late")})); // all is lost already
}

static void a_request_is_sent_as_it_is_written(void) {
    ef_recording *db = ef_recording_new();
    projection_failure_t failure;
    ef_test_respond(db, 202, "x-id", "7", "{\"n\": 3}");
    EF_CHECK(!run(db, send_three, 2, &failure));
    EF_CHECK(blames(failure, POISON, 1, "there is no method put"));
    const ef_test_sent *sent = ef_sent(db, 0);
    EF_CHECK(sent && sent->cause == 1 && sent->timeout_ms == 500 && sent->method == EVENTFABRIC_REACTOR_OUTGOING_METHOD_POST);
    EF_CHECK(sent && strcmp(sent->body, "{\"n\":1}") == 0 && strcmp(sent->headers, "x-a: 1\ncontent-type: application/json\n") == 0);
    sent = ef_sent(db, 1);
    EF_CHECK(sent && sent->method == EVENTFABRIC_REACTOR_OUTGOING_METHOD_GET && strcmp(sent->url, "https://h/y") == 0);
    sent = ef_sent(db, 2);
    EF_CHECK(sent && sent->method == EVENTFABRIC_REACTOR_OUTGOING_METHOD_PUT && strcmp(sent->headers, "") == 0);
    EF_CHECK(!ef_sent(db, 3));
}

static void send_one(ef_tx *tx, const ef_event *event) {
    EF_CHECK(!ef_response_check(ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/x")})));
}

static void read_answer(ef_tx *tx, const ef_event *event) {
    EF_CHECK(!ef_response_json(ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://h/x")})));
}

static void what_can_pass_is_tried_again_and_the_rest_is_poison(void) {
    struct { uint8_t error; int kind; } errors[] = {
        {EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_TIMEOUT, RETRY}, {EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_CONNECTION, RETRY},
        {EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_DENIED, POISON}, {EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_INVALID, POISON},
        {EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_LIMIT, POISON},
    };
    projection_failure_t failure;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        ef_recording *db = ef_recording_new();
        ef_test_fail_request(db, errors[i].error, "no answer");
        EF_CHECK(!run(db, send_one, 1, &failure));
        EF_CHECK(blames(failure, errors[i].kind, 0, "no answer"));
    }
    struct { uint16_t status; int kind; } statuses[] = {{301, POISON}, {400, POISON}, {404, POISON}, {408, RETRY},
                                                        {425, RETRY},  {429, RETRY},  {500, RETRY},  {503, RETRY}};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        ef_recording *db = ef_recording_new();
        ef_test_respond(db, statuses[i].status, NULL, NULL, NULL);
        EF_CHECK(!run(db, send_one, 1, &failure));
        char message[64];
        snprintf(message, sizeof message, "the server answered %d", statuses[i].status);
        EF_CHECK(blames(failure, statuses[i].kind, 0, message));
    }
    ef_recording *db = ef_recording_new();
    char body[601] = "", expected[512] = "the server answered 429, retry-after: 30: ";
    for (int i = 0; i < 300; i++) strcat(body, "ä");
    strncat(expected, body, 400);
    ef_test_respond(db, 429, "Retry-After", "30", body);
    EF_CHECK(!run(db, send_one, 1, &failure));
    EF_CHECK(blames(failure, RETRY, 0, expected));
    db = ef_recording_new();
    ef_test_respond(db, 200, NULL, NULL, "{no JSON");
    EF_CHECK(!run(db, read_answer, 1, &failure));
    EF_CHECK(failure.kind == POISON && starts(failure.message, "the answer (200) can't be read: "));
}

int main(void) {
    a_read_sees_what_was_queued_before_it();
    a_full_queue_is_written_out();
    a_failed_transaction_fails_for_good();
    a_failure_names_the_event_that_queued_the_statement();
    a_failure_by_hand_is_that_of_its_event();
    a_row_that_does_not_fit_is_fatal_and_named();
    a_payload_is_read_exactly();
    a_payload_that_does_not_fit_is_poison_and_named();
    events_are_lifted_step_by_step();
    a_counter_that_a_batch_touches_often_is_written_once();
    rows_are_blamed_on_their_event();
    a_statement_that_names_the_table_keeps_its_place();
    merged_rows_are_those_of_one_statement_for_each_call();
    settings_are_read_by_key();
    queries_describe_themselves();
    parameters_reach_the_statement();
    a_plugin_makes_rows();
    a_query_that_fails_says_why();
    a_stream_is_loaded_whole_with_what_was_appended();
    a_conflict_leaves_the_transaction_usable();
    what_the_log_refuses_blames_its_event();
    json_is_written_exactly();
    a_request_is_sent_as_it_is_written();
    what_can_pass_is_tried_again_and_the_rest_is_poison();
    return ef_test_result();
}
