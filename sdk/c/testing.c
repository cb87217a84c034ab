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

typedef struct {
    const char *aggregate, *id;
    projection_event_t event;
} stored;

typedef struct {
    uint16_t status;
    const char *header, *value, *body;
    bool fails;
    ef_send_error error;
} reply;

struct ef_recording {
    stored *log;
    size_t log_count;
    ef_append_error *refusals;
    size_t refusal_count, refusals_used;
    ef_test_appended *appended;
    size_t appended_count;
    reply *replies;
    size_t reply_count, replies_used;
    ef_test_sent *sent;
    size_t sent_count;
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

// ---- The log ----

// Room for one more item, which is zero.
static void *added(void **items, size_t *count, size_t size) {
    *items = realloc(*items, (*count + 1) * size);
    return memset((char *)*items + (*count)++ * size, 0, size);
}
#define ADDED(items, count) added((void **)&(items), &(count), sizeof *(items))

static uint32_t version_of(const ef_recording *db, ef_str aggregate, ef_str id) {
    uint32_t version = 0;
    for (size_t i = 0; i < db->log_count; i++) {
        version += ef_str_equals(aggregate, db->log[i].aggregate) && ef_str_equals(id, db->log[i].id);
    }
    return version;
}

void ef_test_stream(ef_recording *db, const char *aggregate, const char *id, projection_event_t event) {
    event.version = version_of(db, ef_str_of(aggregate), ef_str_of(id)) + 1;
    event.aggregate = ef_str_of(aggregate);
    event.aggregate_id = ef_str_of(id);
    *(stored *)ADDED(db->log, db->log_count) = (stored){aggregate, id, event};
}

void ef_test_refuse(ef_recording *db, uint8_t kind, const char *message) {
    ef_append_error error = {.tag = kind, .val.denied = ef_str_of(message)};
    *(ef_append_error *)ADDED(db->refusals, db->refusal_count) = error;
}

static bool is_refused(ef_recording *db, ef_append_error *error) {
    if (db->refusals_used == db->refusal_count) return false;
    *error = db->refusals[db->refusals_used++];
    return true;
}

bool ef_host_load(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, uint32_t after, uint32_t limit,
                  ef_page *page, ef_append_error *error) {
    ef_recording *db = backend->self;
    (void)cause;
    if (is_refused(db, error)) return false;
    *page = (ef_page){.version = after, .events.ptr = ef_alloc(limit * sizeof(projection_event_t))};
    for (size_t i = 0; i < db->log_count; i++) {
        stored *entry = &db->log[i];
        if (!ef_str_equals(aggregate, entry->aggregate) || !ef_str_equals(id, entry->id) || entry->event.version <= after) continue;
        page->more = page->events.len == limit;
        if (page->more) break;
        page->events.ptr[page->events.len++] = entry->event;
        page->version = entry->event.version;
    }
    return true;
}

bool ef_host_append(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, ef_expected_version expected,
                    ef_new_events events, uint32_t *version, ef_append_error *error) {
    ef_recording *db = backend->self;
    if (is_refused(db, error)) return false;
    *version = version_of(db, aggregate, id);
    uint32_t wanted = expected.tag == EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_EXPECTED_VERSION_EXACT ? expected.val.exact : 0;
    if (expected.tag != EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_EXPECTED_VERSION_ANY && wanted != *version) {
        error->tag = EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_CONFLICT;
        error->val.conflict = *version;
        return false;
    }
    for (size_t i = 0; i < events.len; i++) {
        ef_test_appended entry = {
            .cause = cause,
            .aggregate = chars(aggregate),
            .id = chars(id),
            .event_type = chars(events.ptr[i].event_type),
            .payload = chars(events.ptr[i].payload),
            .topic = events.ptr[i].topic.is_some ? chars(events.ptr[i].topic.val) : NULL,
            .schema_version = events.ptr[i].schema_version,
        };
        *(ef_test_appended *)ADDED(db->appended, db->appended_count) = entry;
        projection_event_t event = ef_test_event(entry.event_type, entry.payload);
        event.schema_version = entry.schema_version;
        ef_test_stream(db, entry.aggregate, entry.id, event);
        ++*version;
    }
    return true;
}

const ef_test_appended *ef_appended(const ef_recording *db, size_t index) {
    return index < db->appended_count ? &db->appended[index] : NULL;
}

// ---- Requests ----

void ef_test_respond(ef_recording *db, uint16_t status, const char *header, const char *value, const char *body) {
    *(reply *)ADDED(db->replies, db->reply_count) = (reply){status, header, value, body, false, {0}};
}

void ef_test_fail_request(ef_recording *db, uint8_t kind, const char *message) {
    reply *next = ADDED(db->replies, db->reply_count);
    next->fails = true;
    next->error = (ef_send_error){.tag = kind, .val.denied = ef_str_of(message)};
}

bool ef_host_send(const ef_backend *backend, uint32_t cause, ef_outgoing_request *request, ef_outgoing_response *response,
                  ef_send_error *error) {
    ef_recording *db = backend->self;
    ef_str headers = ef_str_of("");
    for (size_t i = 0; i < request->headers.len; i++) {
        headers = ef_format("%.*s%.*s: %.*s\n", EF_STR(headers), EF_STR(request->headers.ptr[i].f0),
                            EF_STR(request->headers.ptr[i].f1));
    }
    ef_str body = {request->body.ptr, request->body.len};
    *(ef_test_sent *)ADDED(db->sent, db->sent_count) = (ef_test_sent){
        .cause = cause,
        .timeout_ms = request->timeout_ms.is_some ? request->timeout_ms.val : 0,
        .method = request->method,
        .url = chars(request->url),
        .body = body.ptr ? chars(body) : "",
        .headers = chars(headers),
    };
    *response = (ef_outgoing_response){.status = 200};
    if (db->replies_used == db->reply_count) return true;
    reply next = db->replies[db->replies_used++];
    if (next.fails) {
        *error = next.error;
        return false;
    }
    response->status = next.status;
    response->body.ptr = (uint8_t *)next.body;
    response->body.len = next.body ? strlen(next.body) : 0;
    if (next.header) {
        response->headers.ptr = ef_alloc(sizeof *response->headers.ptr);
        response->headers.len = 1;
        response->headers.ptr[0].f0 = ef_str_of(next.header);
        response->headers.ptr[0].f1 = ef_str_of(next.value);
    }
    return true;
}

const ef_test_sent *ef_sent(const ef_recording *db, size_t index) { return index < db->sent_count ? &db->sent[index] : NULL; }

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
