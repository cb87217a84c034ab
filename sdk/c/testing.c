// The double of the host, for native tests.

#include <stdio.h>
#include <stdlib.h>

#include "eventfabric_testing.h"
#include "internal.h"

typedef struct {
    char *text;
    ef_values params;
} recorded;

typedef struct {
    const char *part, *column;
    ef_value value;
    bool fails, used;
    ef_sql_error error;
} answer;

struct ef_recording {
    recorded *statements;
    size_t count, round_trips;
    answer *answers;
    size_t answer_count;
};

// What a test records lives as long as the test's program.
static void *keep(const void *bytes, size_t size) {
    void *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    ((char *)copy)[size] = 0;
    return copy;
}

projection_event_t ef_test_event(const char *event_type, const char *payload) {
    projection_event_t event = {0};
    event.position = 1;
    event.id = ef_str_of("00000000-0000-7000-8000-000000000001");
    event.tenant = ef_str_of("default");
    event.aggregate = ef_str_of("Test");
    event.aggregate_id = ef_str_of("1");
    event.version = 1;
    event.event_type = ef_str_of(event_type);
    event.schema_version = 1;
    event.payload = ef_str_of(payload);
    return event;
}

ef_recording *ef_recording_new(void) { return calloc(1, sizeof(ef_recording)); }

static answer *next_answer(ef_recording *db, const char *part) {
    db->answers = realloc(db->answers, (db->answer_count + 1) * sizeof(answer));
    answer *next = &db->answers[db->answer_count++];
    memset(next, 0, sizeof *next);
    next->part = part;
    return next;
}

void ef_answer(ef_recording *db, const char *part, const char *column, ef_value value) {
    answer *next = next_answer(db, part);
    next->column = column;
    next->value = value;
}

void ef_answer_error(ef_recording *db, const char *part, eventfabric_projection_sql_sql_error_kind_t kind,
                     const char *sqlstate, const char *message) {
    answer *next = next_answer(db, part);
    next->fails = true;
    next->error.kind = kind;
    next->error.sqlstate = ef_str_of(sqlstate);
    next->error.message = ef_str_of(message);
}

// A text of the contract as an array of char that ends.
static char *chars(ef_str text) { return keep(text.ptr, text.len); }

// Values outlive the batch in a test: what they point to is copied.
static ef_values keep_values(ef_values values) {
    ef_values kept = {keep(values.ptr, values.len * sizeof(ef_value)), values.len};
    for (size_t i = 0; i < values.len; i++) {
        ef_value *value = &kept.ptr[i];
        switch (value->tag) {
        case EVENTFABRIC_PROJECTION_SQL_VALUE_TEXT:
        case EVENTFABRIC_PROJECTION_SQL_VALUE_NUMERIC:
        case EVENTFABRIC_PROJECTION_SQL_VALUE_UUID:
        case EVENTFABRIC_PROJECTION_SQL_VALUE_JSON:
        case EVENTFABRIC_PROJECTION_SQL_VALUE_BYTES:
            value->val.text.ptr = keep(value->val.text.ptr, value->val.text.len);
            break;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_OTHER:
            value->val.other.f0.ptr = keep(value->val.other.f0.ptr, value->val.other.f0.len);
            value->val.other.f1.ptr = keep(value->val.other.f1.ptr, value->val.other.f1.len);
            break;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_INT64_ARRAY:
            value->val.int64_array.ptr = keep(value->val.int64_array.ptr, value->val.int64_array.len * sizeof(ef_opt_int64));
            break;
        }
    }
    return kept;
}

// Records a statement, and finds what the script has for it.
static answer *record(ef_recording *db, ef_str statement, ef_values params) {
    char *text = chars(statement);
    db->statements = realloc(db->statements, (db->count + 1) * sizeof(recorded));
    db->statements[db->count++] = (recorded){text, keep_values(params)};
    for (size_t i = 0; i < db->answer_count; i++) {
        answer *next = &db->answers[i];
        if (next->used || !strstr(text, next->part)) continue;
        next->used = true;
        return next;
    }
    return NULL;
}

static bool execute(void *self, ef_str statement, ef_values params, uint64_t *rows, ef_sql_error *error) {
    ef_recording *db = self;
    db->round_trips++;
    answer *next = record(db, statement, params);
    if (next && next->fails) {
        *error = next->error;
        return false;
    }
    *rows = 1;
    return true;
}

static bool query(void *self, ef_str statement, ef_values params, ef_row_set *rows, ef_sql_error *error) {
    ef_recording *db = self;
    db->round_trips++;
    memset(rows, 0, sizeof *rows);
    answer *next = record(db, statement, params);
    if (!next) return true;
    if (next->fails) {
        *error = next->error;
        return false;
    }
    rows->columns.ptr = ef_alloc(sizeof(ef_str));
    rows->columns.ptr[0] = ef_str_of(next->column);
    rows->columns.len = 1;
    rows->rows.ptr = ef_alloc(sizeof(ef_values));
    rows->rows.len = 1;
    rows->rows.ptr[0].ptr = ef_alloc(sizeof(ef_value));
    rows->rows.ptr[0].ptr[0] = next->value;
    rows->rows.ptr[0].len = 1;
    return true;
}

static bool execute_batch(void *self, projection_list_string_t statements, ef_calls calls, ef_batch_error *error) {
    ef_recording *db = self;
    db->round_trips++;
    for (size_t i = 0; i < calls.len; i++) {
        answer *next = record(db, statements.ptr[calls.ptr[i].statement], calls.ptr[i].params);
        if (next && next->fails) {
            error->call = (uint32_t)i;
            error->error = next->error;
            return false;
        }
    }
    return true;
}

bool ef_test_run(const ef_projection *projection, ef_recording *db, projection_event_t *events, size_t count,
                 projection_failure_t *failure) {
    for (size_t i = 0; i < count; i++) events[i].position = i + 1;
    ef_backend backend = {db, execute, query, execute_batch};
    projection_failure_t told = {0};
    bool well = ef_handle(projection, &backend, events, count, &told);
    if (!well && failure) {
        *failure = told;
        failure->message.ptr = (uint8_t *)chars(told.message);
    }
    ef_release();
    return well;
}

bool ef_test_query(const ef_named_query *queries, ef_recording *db, const char *name, const ef_column *parameters, size_t count,
                   ef_row_set *rows, projection_failure_t *failure) {
    exports_eventfabric_query_queries_request_t asked = {.name = ef_str_of(name), .tenant = ef_str_of("default")};
    asked.parameters.len = count;
    asked.parameters.ptr = malloc((count + 1) * sizeof(*asked.parameters.ptr));
    for (size_t i = 0; i < count; i++) {
        asked.parameters.ptr[i].f0 = ef_str_of(parameters[i].name);
        asked.parameters.ptr[i].f1 = parameters[i].value;
    }
    ef_backend backend = {db, execute, query, execute_batch};
    projection_failure_t told = {0};
    ef_row_set found = {0};
    bool well = ef_answer_query(queries, &backend, &asked, &found, &told);
    free(asked.parameters.ptr);
    if (!well && failure) {
        *failure = told;
        failure->message.ptr = (uint8_t *)chars(told.message);
    }
    if (well && rows) {
        rows->columns.len = found.columns.len;
        rows->columns.ptr = keep(found.columns.ptr, found.columns.len * sizeof(ef_str));
        for (size_t i = 0; i < found.columns.len; i++) rows->columns.ptr[i].ptr = (uint8_t *)chars(found.columns.ptr[i]);
        rows->rows.len = found.rows.len;
        rows->rows.ptr = keep(found.rows.ptr, found.rows.len * sizeof(ef_values));
        for (size_t i = 0; i < found.rows.len; i++) rows->rows.ptr[i] = keep_values(found.rows.ptr[i]);
    }
    ef_release();
    return well;
}

exports_eventfabric_query_queries_list_query_description_t ef_test_describe_queries(const ef_named_query *queries) {
    exports_eventfabric_query_queries_list_query_description_t list;
    ef_describe_queries(queries, &list);
    return list;
}

size_t ef_round_trips(const ef_recording *db) { return db->round_trips; }

static const recorded *find(const ef_recording *db, const char *part, size_t index) {
    for (size_t i = 0; i < db->count; i++) {
        if (strstr(db->statements[i].text, part) && index-- == 0) return &db->statements[i];
    }
    return NULL;
}

size_t ef_recorded_count(const ef_recording *db, const char *part) {
    size_t count = 0;
    while (find(db, part, count)) count++;
    return count;
}

const char *ef_recorded_text(const ef_recording *db, const char *part, size_t index) {
    const recorded *statement = find(db, part, index);
    return statement ? statement->text : NULL;
}

bool ef_value_equals(ef_value a, ef_value b) {
    if (a.tag != b.tag) return false;
    switch (a.tag) {
    case EVENTFABRIC_PROJECTION_SQL_VALUE_NULL:
        return true;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_BOOLEAN:
        return a.val.boolean == b.val.boolean;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_INT16:
        return a.val.int16 == b.val.int16;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_INT32:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_DATE:
        return a.val.int32 == b.val.int32;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_INT64:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_TIMESTAMPTZ:
        return a.val.int64 == b.val.int64;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_FLOAT32:
        return a.val.float32 == b.val.float32;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_FLOAT64:
        return a.val.float64 == b.val.float64;
    case EVENTFABRIC_PROJECTION_SQL_VALUE_TEXT:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_NUMERIC:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_UUID:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_JSON:
    case EVENTFABRIC_PROJECTION_SQL_VALUE_BYTES:
        return a.val.text.len == b.val.text.len && memcmp(a.val.text.ptr, b.val.text.ptr, a.val.text.len) == 0;
    }
    return false;
}

const ef_value *ef_recorded_param(const ef_recording *db, const char *part, size_t index, size_t param) {
    const recorded *statement = find(db, part, index);
    return statement && param < statement->params.len ? &statement->params.ptr[param] : NULL;
}

bool ef_recorded_values(const ef_recording *db, const char *part, size_t index, const ef_value *params, size_t count) {
    const recorded *statement = find(db, part, index);
    if (!statement || statement->params.len != count) return false;
    for (size_t i = 0; i < count; i++) {
        if (!ef_value_equals(statement->params.ptr[i], params[i])) return false;
    }
    return true;
}

// ---- The host's other functions ----

void ef_write_log(ef_level level, ef_str message) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    fprintf(stderr, "%s: %.*s\n", names[level], EF_STR(message));
}

static struct {
    const char *key, *value;
} settings[33]; // the last one stays empty

void ef_test_config(const char *key, const char *value) {
    size_t i = 0;
    while (i < 32 && settings[i].key && strcmp(settings[i].key, key)) i++;
    if (i == 32) abort();
    settings[i].key = key;
    settings[i].value = value;
}

bool ef_read_config(ef_str key, ef_str *value) {
    for (size_t i = 0; settings[i].key; i++) {
        if (!ef_str_equals(key, settings[i].key)) continue;
        *value = ef_str_of(settings[i].value);
        return true;
    }
    return false;
}

static int checks_failed;

void ef_test_check(bool condition, const char *text, const char *file, int line) {
    if (condition) return;
    checks_failed++;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
}

int ef_test_result(void) { return checks_failed ? 1 : 0; }
