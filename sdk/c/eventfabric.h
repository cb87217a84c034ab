// The SDK for projections in C: WebAssembly components that turn events of EventFabric into rows of tables of
// their own. README.md shows one.
//
// Errors stick: what fails is noted in the transaction, every later call does nothing and returns zero, and the batch
// fails with the first failure. So a handler need not look at each call; `ef_failed` tells.
//
// All memory that the SDK returns lives until the batch has ended.
#ifndef EVENTFABRIC_H
#define EVENTFABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bindings/projection.h"

#ifdef __cplusplus
extern "C" {
#endif

// Text: bytes in UTF-8 with a length, and no zero at the end. `ptr` is NULL where there is none.
typedef projection_string_t ef_str;

// For printf's `%.*s`: ("%.*s", EF_STR(text))
#define EF_STR(text) (int)(text).len, (const char *)(text).ptr

static inline ef_str ef_str_of(const char *text) {
    ef_str str = {(uint8_t *)text, text ? strlen(text) : 0};
    return str;
}

bool ef_str_equals(ef_str text, const char *other);

// Text by printf's rules.
__attribute__((format(printf, 1, 2))) ef_str ef_format(const char *format, ...);

// Memory that lives until the batch has ended.
void *ef_alloc(size_t size);

// ---- Values ----

// A value on its way to or from PostgreSQL; see bindings/projection.h.
typedef eventfabric_projection_sql_value_t ef_value;

typedef projection_option_bool_t ef_opt_bool;
typedef projection_option_s16_t ef_opt_int16;
typedef projection_option_s32_t ef_opt_int32;
typedef projection_option_s64_t ef_opt_int64;
typedef projection_option_f32_t ef_opt_float32;
typedef projection_option_f64_t ef_opt_float64;
typedef projection_option_string_t ef_opt_str;
typedef projection_list_u8_t ef_bytes;
typedef projection_option_list_u8_t ef_opt_bytes;

#define EF_VALUE_FUNCTION(name, type, member, TAG)                                                                   \
    static inline ef_value name(type value) {                                                                        \
        ef_value made;                                                                                               \
        made.tag = EVENTFABRIC_PROJECTION_SQL_VALUE_##TAG;                                                           \
        made.val.member = value;                                                                                     \
        return made;                                                                                                 \
    }
#define EF_TEXT_FUNCTION(name, member, TAG)                                                                          \
    static inline ef_value name(ef_str value) {                                                                      \
        ef_value made;                                                                                               \
        made.tag = value.ptr ? EVENTFABRIC_PROJECTION_SQL_VALUE_##TAG : EVENTFABRIC_PROJECTION_SQL_VALUE_NULL;       \
        made.val.member = value;                                                                                     \
        return made;                                                                                                 \
    }
#define EF_ARRAY_FUNCTION(name, type, member, TAG)                                                                   \
    static inline ef_value name(type *items, size_t count) {                                                         \
        ef_value made;                                                                                               \
        made.tag = EVENTFABRIC_PROJECTION_SQL_VALUE_##TAG;                                                           \
        made.val.member.ptr = items;                                                                                 \
        made.val.member.len = count;                                                                                 \
        return made;                                                                                                 \
    }

// Parameters. A text without `ptr` is NULL. What is queued is copied, so nothing has to live on.
static inline ef_value ef_null(void) {
    ef_value made;
    made.tag = EVENTFABRIC_PROJECTION_SQL_VALUE_NULL;
    return made;
}
EF_VALUE_FUNCTION(ef_bool, bool, boolean, BOOLEAN)
EF_VALUE_FUNCTION(ef_int16, int16_t, int16, INT16)       // smallint
EF_VALUE_FUNCTION(ef_int32, int32_t, int32, INT32)       // integer
EF_VALUE_FUNCTION(ef_int64, int64_t, int64, INT64)       // bigint
EF_VALUE_FUNCTION(ef_float32, float, float32, FLOAT32)   // real
EF_VALUE_FUNCTION(ef_float64, double, float64, FLOAT64)  // double precision
EF_VALUE_FUNCTION(ef_timestamptz, int64_t, timestamptz, TIMESTAMPTZ) // microseconds since 1970
EF_VALUE_FUNCTION(ef_date, int32_t, date, DATE)          // days since 1970
EF_VALUE_FUNCTION(ef_bytea, ef_bytes, bytes, BYTES)
EF_TEXT_FUNCTION(ef_str_text, text, TEXT)
EF_TEXT_FUNCTION(ef_numeric, numeric, NUMERIC) // decimal text, `NaN`, `Infinity`
EF_TEXT_FUNCTION(ef_uuid, uuid, UUID)          // 36 characters
EF_TEXT_FUNCTION(ef_json, json, JSON)          // JSON text, for json and jsonb
static inline ef_value ef_chars_text(const char *value) { return ef_str_text(ef_str_of(value)); }

// A text: an ef_str or a `const char *`.
#ifndef __cplusplus
#define ef_text(value)                                                                                               \
    _Generic((value), ef_str: ef_str_text, char *: ef_chars_text, const char *: ef_chars_text)(value)
#else
}
static inline ef_value ef_text(ef_str value) { return ef_str_text(value); }
static inline ef_value ef_text(const char *value) { return ef_chars_text(value); }
extern "C" {
#endif

// A value of any other type in PostgreSQL's own text form: an enum of the plugin, an interval. The type's name
// may be empty.
static inline ef_value ef_other(const char *type, ef_str text) {
    ef_value made;
    made.tag = text.ptr ? EVENTFABRIC_PROJECTION_SQL_VALUE_OTHER : EVENTFABRIC_PROJECTION_SQL_VALUE_NULL;
    made.val.other.f0 = ef_str_of(type);
    made.val.other.f1 = text;
    return made;
}

// Arrays, for `= ANY($1)` and `unnest($1)`.
EF_ARRAY_FUNCTION(ef_bool_array, ef_opt_bool, bool_array, BOOL_ARRAY)
EF_ARRAY_FUNCTION(ef_int16_array, ef_opt_int16, int16_array, INT16_ARRAY)
EF_ARRAY_FUNCTION(ef_int32_array, ef_opt_int32, int32_array, INT32_ARRAY)
EF_ARRAY_FUNCTION(ef_int64_array, ef_opt_int64, int64_array, INT64_ARRAY)
EF_ARRAY_FUNCTION(ef_float32_array, ef_opt_float32, float32_array, FLOAT32_ARRAY)
EF_ARRAY_FUNCTION(ef_float64_array, ef_opt_float64, float64_array, FLOAT64_ARRAY)
EF_ARRAY_FUNCTION(ef_numeric_array, ef_opt_str, numeric_array, NUMERIC_ARRAY)
EF_ARRAY_FUNCTION(ef_text_array, ef_opt_str, text_array, TEXT_ARRAY)
EF_ARRAY_FUNCTION(ef_bytea_array, ef_opt_bytes, bytes_array, BYTES_ARRAY)
EF_ARRAY_FUNCTION(ef_uuid_array, ef_opt_str, uuid_array, UUID_ARRAY)
EF_ARRAY_FUNCTION(ef_timestamptz_array, ef_opt_int64, timestamptz_array, TIMESTAMPTZ_ARRAY)
EF_ARRAY_FUNCTION(ef_date_array, ef_opt_int32, date_array, DATE_ARRAY)
EF_ARRAY_FUNCTION(ef_json_array, ef_opt_str, json_array, JSON_ARRAY)

#undef EF_VALUE_FUNCTION
#undef EF_TEXT_FUNCTION
#undef EF_ARRAY_FUNCTION

// ---- Events ----

typedef struct ef_tx ef_tx;

// A fact from the log.
typedef struct ef_event {
    uint64_t position; // in the log of all streams, from 1, with holes
    ef_str id;         // UUID
    ef_str tenant;
    ef_str aggregate;
    ef_str aggregate_id;
    uint32_t version; // in the stream: 1, 2, 3, …
    ef_str event_type;
    uint32_t schema_version;
    ef_str payload;      // a JSON object
    int64_t occurred_at; // microseconds since 1970
    ef_str correlation_id; // without `ptr`: none
    ef_str causation_id;
    uint32_t index; // in the batch, from 0
    // The payload as it was parsed, and the transaction that is told of what does not fit.
    struct yyjson_val *root;
    ef_tx *tx;
} ef_event;

// Fields of the payload, by name, or by a way through objects and lists: "address.city", "items.0.price". One that is
// missing, null or of another type makes the event poison, and is named.
ef_str ef_event_text(const ef_event *event, const char *field);
int64_t ef_event_int64(const ef_event *event, const char *field);
double ef_event_float64(const ef_event *event, const char *field);
bool ef_event_bool(const ef_event *event, const char *field);
ef_str ef_event_numeric(const ef_event *event, const char *field); // as it is written
ef_str ef_event_json(const ef_event *event, const char *field);    // any JSON, as text
size_t ef_event_count(const ef_event *event, const char *field);   // items of a list

// Whether the field is there, and not null.
bool ef_event_has(const ef_event *event, const char *field);

// A text that may be missing or null: then it has no `ptr`.
ef_str ef_event_optional_text(const ef_event *event, const char *field);

// The payload, for all that yyjson can do. Its numbers are raw (`yyjson_get_raw`), so that they are exact.
struct yyjson_val *ef_event_root(const ef_event *event);

// ---- The transaction ----

// Queues a write. The queue is sent in one round trip at the end of the batch, before the next read or ef_execute, and
// whenever it is full; a failure names the event that queued the statement. Parameters are `$1`, `$2`, …:
//
//     ef_run(tx, "INSERT INTO seen (id, name) VALUES ($1, $2)", ef_int64(7), ef_text("x"));
#define ef_run(tx, ...) EF_CALL(ef_run_values, tx, __VA_ARGS__, ef_null())

// Runs a statement at once and tells how many rows it wrote or returned. A round trip of its own.
#define ef_execute(tx, ...) EF_CALL(ef_execute_values, tx, __VA_ARGS__, ef_null())

// Runs a statement and returns its rows; NULL where it fails.
#define ef_query(tx, ...) EF_CALL(ef_query_values, tx, __VA_ARGS__, ef_null())

// The same for a statement that must return one row. Anything else is fatal.
#define ef_query_one(tx, ...) EF_CALL(ef_query_one_values, tx, __VA_ARGS__, ef_null())

// The parameters, of which there may be none, stand here once: so a compiler complains of them once.
#define EF_CALL(function, tx, statement, ...)                                                                        \
    __extension__({                                                                                                  \
        const ef_value ef_params_[] = {__VA_ARGS__};                                                                 \
        function(tx, statement, ef_params_, sizeof ef_params_ / sizeof *ef_params_ - 1);                             \
    })

typedef struct ef_rows {
    size_t count;
    eventfabric_projection_sql_row_set_t set;
    const char *statement;
    ef_tx *tx;
} ef_rows;

void ef_run_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count);
uint64_t ef_execute_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count);
ef_rows *ef_query_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count);
ef_rows *ef_query_one_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count);

// Writes out what is queued, before its time.
void ef_flush(ef_tx *tx);

// A value of a row, from 0, by the name of its column. One that is NULL or of another type is fatal, and named.
bool ef_row_bool(const ef_rows *rows, size_t row, const char *column);
int64_t ef_row_int64(const ef_rows *rows, size_t row, const char *column); // smallint, integer or bigint
double ef_row_float64(const ef_rows *rows, size_t row, const char *column); // real or double precision
ef_str ef_row_text(const ef_rows *rows, size_t row, const char *column); // text, numeric, uuid, json, any other type's text
ef_bytes ef_row_bytes(const ef_rows *rows, size_t row, const char *column);
int64_t ef_row_timestamptz(const ef_rows *rows, size_t row, const char *column);
int32_t ef_row_date(const ef_rows *rows, size_t row, const char *column);
bool ef_row_is_null(const ef_rows *rows, size_t row, const char *column);

// The value itself; NULL where there is no such column, which is fatal.
const ef_value *ef_row_value(const ef_rows *rows, size_t row, const char *column);

// ---- Failures ----

// The event can succeed later: the host tries it again. / It never can: the host sets it aside. / The plugin is wrong:
// the host stops the projection. The failure is that of the event which is being handled.
__attribute__((format(printf, 2, 3))) void ef_retry(ef_tx *tx, const char *format, ...);
__attribute__((format(printf, 2, 3))) void ef_poison(ef_tx *tx, const char *format, ...);
__attribute__((format(printf, 2, 3))) void ef_fatal(ef_tx *tx, const char *format, ...);

// Whether something has failed. Nothing can be done in the transaction then.
bool ef_failed(const ef_tx *tx);

// From here on, failures name this event, or none (NULL): for handlers of a batch.
void ef_blame(ef_tx *tx, const ef_event *event);

// ---- Read models by key ----

// A table that is written by its key. What a batch does to one key is merged before it is written, so that a counter
// that 500 events touch is written once. The rows are those that one statement for each call would leave. They are
// written before the next read, before a statement that names the table, and at the end, in the order of tables
// and keys, so that two workers wait for each other in no circle. A statement that depends on them without naming
// the table (a foreign key, a view) needs ef_flush before it.
//
//     static const ef_table accounts = EF_TABLE("accounts", "account");
//     ef_increment(tx, &accounts, EF_KEY(ef_text(id)), EF_COLUMNS({"cents", ef_int64(250)}));
typedef struct ef_table {
    const char *name;
    const char *const *key;
    size_t key_count;
} ef_table;

typedef struct ef_column {
    const char *name;
    ef_value value;
} ef_column;

#define EF_TABLE(name, ...)                                                                                          \
    {name, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)}
#define EF_KEY(...) (ef_value[]){__VA_ARGS__}, sizeof((ef_value[]){__VA_ARGS__}) / sizeof(ef_value)
#define EF_COLUMNS(...) (ef_column[]){__VA_ARGS__}, sizeof((ef_column[]){__VA_ARGS__}) / sizeof(ef_column)

// The key and the columns are written as EF_KEY(…) and EF_COLUMNS(…).
#define ef_upsert(tx, table, ...) ef_upsert_values(tx, table, __VA_ARGS__)
#define ef_increment(tx, table, ...) ef_increment_values(tx, table, __VA_ARGS__) // integers
#define ef_delete(tx, table, ...) ef_delete_values(tx, table, __VA_ARGS__)

void ef_upsert_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count, const ef_column *columns,
                      size_t column_count);
void ef_increment_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count,
                         const ef_column *columns, size_t column_count);
void ef_delete_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count);

// ---- Log and settings ----

typedef enum { EF_TRACE, EF_DEBUG, EF_INFO, EF_WARN, EF_ERROR } ef_level;

// Writes one line to the host's log.
__attribute__((format(printf, 2, 3))) void ef_log(ef_level level, const char *format, ...);

// A setting that the operator gave; without `ptr` where there is none.
ef_str ef_config(const char *key);

// ---- The projection ----

typedef enum { EF_INLINE, EF_CATCH_UP, EF_ASYNC } ef_mode;

// Handles the events of one type. Without a type: those that no other handler takes.
typedef struct ef_handler {
    const char *event_type;
    void (*handle)(ef_tx *tx, const ef_event *event);
} ef_handler;

// A step in the making of the tables: the name of its file, such as "001_create_accounts.sql", and its text.
typedef struct ef_migration {
    const char *file;
    const char *sql;
} ef_migration;

typedef struct ef_payload {
    struct yyjson_mut_doc *doc;
    struct yyjson_mut_val *root;
    ef_tx *tx;
} ef_payload;

// Lifts the payload of an event type from one schema version to the next. `version` in it is set afterwards.
typedef struct ef_upcaster {
    const char *event_type;
    uint32_t from;
    void (*lift)(ef_payload *payload);
} ef_upcaster;

// Fields of a payload that is lifted; all that yyjson_mut_… can do goes, too.
int64_t ef_payload_int64(ef_payload *payload, const char *field);
ef_str ef_payload_text(ef_payload *payload, const char *field);
void ef_payload_set_int64(ef_payload *payload, const char *field, int64_t value);
void ef_payload_set_text(ef_payload *payload, const char *field, ef_str value);
void ef_payload_remove(ef_payload *payload, const char *field);

// Lists end with an entry of zeros.
typedef struct ef_projection {
    const char *name; // [a-z][a-z0-9_]{0,47}; names the schema of its tables, too
    const char *text; // one sentence for people
    ef_mode mode;
    const char *const *only_topics;   // async only: events with one of these topics
    const char *const *except_topics; // or without them
    const ef_migration *migrations;
    // Handlers, for events one by one; the projection gets events of their types and no others.
    const ef_handler *handlers;
    // Or this, for a batch at once, of these types (NULL: all).
    void (*handle_batch)(ef_tx *tx, const ef_event *events, size_t count);
    const char *const *event_types;
    const ef_upcaster *upcasters;
} ef_projection;

// Makes a projection the one of this component: once, at the top level of a file.
#define EF_EXPORT(projection)                                                                                        \
    const ef_projection *ef_exported(void) { return &(projection); }
const ef_projection *ef_exported(void);

// ---- JSON ----

// A JSON object of values: numbers, texts, booleans, NULL and JSON; a numeric becomes a text.
//
//     ef_object(tx, EF_COLUMNS({"cents", ef_int64(250)}, {"owner", ef_text(owner)}))
#define ef_object(tx, ...) ef_object_values(tx, __VA_ARGS__)
ef_str ef_object_values(ef_tx *tx, const ef_column *fields, size_t count);

// ---- The log, for projections that answer events with events ----
//
// A plugin that calls these is a process manager, of the mode EF_CATCH_UP or EF_ASYNC: its component imports the event
// store, and a host loads it only where the operator has granted it `append:AGGREGATE`.

// A stream as it is now, in this transaction.
typedef struct ef_stream {
    const ef_event *events; // oldest first, without those that were dismissed; lifted by the upcasters of the projection
    size_t count;
    uint32_t version; // which an append that decides by it expects; 0: there is no event
} ef_stream;

// A whole stream, of the tenant of the event that is being handled; or what comes after a version. It sees what this
// transaction has appended. NULL where it fails.
ef_stream *ef_load(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id);
ef_stream *ef_load_after(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id, uint32_t version);

// What a writer believes of a stream.
typedef struct ef_expected {
    uint8_t tag;
    uint32_t version;
} ef_expected;

static inline ef_expected ef_any_version(void) {
    ef_expected made = {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_EXPECTED_VERSION_ANY, 0};
    return made;
}
static inline ef_expected ef_no_stream(void) {
    ef_expected made = {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_EXPECTED_VERSION_NONE, 0};
    return made;
}
static inline ef_expected ef_exact(uint32_t version) {
    ef_expected made = {EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_EXPECTED_VERSION_EXACT, version};
    return made;
}

// A fact that is to be appended.
typedef struct ef_new_event {
    const char *event_type;
    ef_str data;             // a JSON object (ef_object); without `ptr`: an empty one
    uint32_t schema_version; // 0 stands for 1
    const char *topic;       // the label in the outbox; NULL: none
} ef_new_event;

#define EF_EVENTS(...) (ef_new_event[]){__VA_ARGS__}, sizeof((ef_new_event[]){__VA_ARGS__}) / sizeof(ef_new_event)

// Appends events to a stream of the tenant of the event that is being handled, and tells the version that the stream has
// then. They commit together with the record that the batch was handled. Their ids come from the cause, so that an event
// which is handled once more appends nothing twice; so append the same, in the same order, each time.
//
// A stream that is not as expected is a failure that is tried again; or, where `conflict` is not NULL, no failure: nothing was
// written, `*conflict` is true, and the version is the one that the stream has.
//
//     ef_append(tx, event, "Account", id, ef_exact(account->version), NULL,
//               EF_EVENTS({"MoneyWithdrawn", ef_object(tx, EF_COLUMNS({"cents", ef_int64(250)})), 1, NULL}));
#define ef_append(tx, cause, aggregate, id, expected, conflict, ...)                                                 \
    ef_append_events(tx, cause, aggregate, id, expected, conflict, __VA_ARGS__)
uint32_t ef_append_events(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id, ef_expected expected,
                          bool *conflict, const ef_new_event *events, size_t count);

// ---- Requests to other systems ----
//
// A plugin that calls these is a reactor, of the mode EF_ASYNC: its component imports the outgoing HTTP, and needs a grant
// of the operator, `https:HOST:PORT`.

typedef struct ef_header {
    const char *name;
    ef_str value;
} ef_header;

// What is sent.
typedef struct ef_request_to {
    ef_str url;         // with scheme and host
    const char *method; // GET, HEAD, POST, PUT, PATCH, DELETE; NULL: POST with a body, and GET without
    ef_str json;        // a body with its Content-Type (ef_object); or
    ef_str body;
    // Those beside the connection's and `Idempotency-Key`, which are the host's; ends with an entry of zeros. NULL: none.
    const ef_header *headers;
    uint32_t timeout_ms; // for the whole of it, where it is less than the host's own limit
} ef_request_to;

// What a server has answered.
typedef struct ef_response {
    uint16_t status;
    ef_str body;
    eventfabric_reactor_outgoing_list_header_t headers;
    const ef_event *cause;
    ef_tx *tx;
} ef_response;

// Sends a request and waits for the answer, whatever its status. `cause` is the event that it tells of. Redirects are not
// followed. Without an answer it is NULL: time-outs and connections are tried again, and what is denied or wrong is poison.
//
//     ef_response_check(ef_send(tx, event, (ef_request_to){.url = ef_str_of("https://mail.example.com/welcome"),
//                                                          .json = ef_event_json(event, "mail")}));
//
// A request is sent at least once: an event that fails after it is handled again, and sends it again, with the same
// `Idempotency-Key`. The host makes that header of the projection, the event and the place of the request among those of the
// event; so send them in the same order each time.
const ef_response *ef_send(ef_tx *tx, const ef_event *cause, ef_request_to request);

// Whether the status is one of success. If not, that is a failure: for 408, 425, 429 and from 500 on it is tried again, as the
// server may do better later; all else is poison, redirects included.
bool ef_response_check(const ef_response *response);

// The first header of a name; without `ptr` where there is none.
ef_str ef_response_header(const ef_response *response, const char *name);

// The body by yyjson, with raw numbers; what is no JSON is poison.
struct yyjson_val *ef_response_json(const ef_response *response);

// ---- Queries ----

// What a parameter of a query may be; ef_param gives the value that has the same name.
typedef enum {
    EF_PARAM_BOOL,
    EF_PARAM_INT64,
    EF_PARAM_FLOAT64,
    EF_PARAM_NUMERIC,
    EF_PARAM_TEXT,
    EF_PARAM_UUID,
    EF_PARAM_TIMESTAMPTZ,
    EF_PARAM_DATE
} ef_param_type;

// A parameter: [a-z][a-z0-9_]{0,47}, and one sentence for people. The host checks a request by it before it starts the
// plugin.
typedef struct ef_parameter {
    const char *name;
    const char *text;
    ef_param_type type;
    bool optional;
} ef_parameter;

// What a caller asks.
typedef struct ef_request {
    ef_str tenant;
    exports_eventfabric_query_queries_list_tuple2_string_value_t given;
    const ef_parameter *parameters;
    ef_tx *tx;
} ef_request;

// A parameter as a value, to be handed on to a statement: NULL where it was left out.
ef_value ef_param(const ef_request *request, const char *name);
bool ef_param_given(const ef_request *request, const char *name);

// A parameter of its type, or `otherwise` where it was left out. To ask for one that the query does not have, or that is of
// another type, is fatal.
bool ef_param_bool(const ef_request *request, const char *name, bool otherwise);
int64_t ef_param_int64(const ef_request *request, const char *name, int64_t otherwise);
double ef_param_float64(const ef_request *request, const char *name, double otherwise);
int64_t ef_param_timestamptz(const ef_request *request, const char *name, int64_t otherwise);
int32_t ef_param_date(const ef_request *request, const char *name, int32_t otherwise);
ef_str ef_param_text(const ef_request *request, const char *name); // text, numeric or uuid; without `ptr`: left out

// A question that the plugin answers from its tables: the host serves it at GET /v1/query/PLUGIN/QUERY. The transaction
// reads and nothing else: what writes is denied, and each statement sees what was committed when it began. There is no
// clock: make the moment a parameter. ef_poison refuses what makes no sense, and tells the caller (422); ef_retry has it
// come back (503); what is fatal is the plugin's (500).
typedef struct ef_named_query {
    const char *name; // [a-z][a-z0-9_]{0,47}
    const char *text; // one sentence for people
    ef_rows *(*answer)(ef_tx *tx, const ef_request *request);
    const ef_parameter *parameters; // ends with an entry of zeros; NULL: none
    // The answer holds nothing but what belongs to the tenant of the request. Callers that are confined to some tenants can
    // ask such queries only.
    bool per_tenant;
} ef_named_query;

// An answer that a plugin works out itself: `columns` names, and for each row as many values, as EF_KEY(…).
ef_rows *ef_rows_new(ef_tx *tx, const char *const *columns, size_t count);
#define ef_rows_add(rows, ...) ef_rows_add_values(rows, __VA_ARGS__)
void ef_rows_add_values(ef_rows *rows, const ef_value *values, size_t count);

// Makes queries, a list that ends with an entry of zeros, those of this component: once, at the top level of a file. A
// component without it exports none.
//
//     static const ef_named_query queries[] = {{"richest", "Who has most", richest, richest_parameters, false}, {0}};
//     EF_EXPORT_QUERIES(queries)
#define EF_EXPORT_QUERIES(queries)                                                                                   \
    const ef_named_query *ef_exported_queries(void) { return (queries); }                                            \
    EF_QUERY_EXPORTS
__attribute__((weak)) const ef_named_query *ef_exported_queries(void);

#ifdef __wasm__
// The functions that the host calls: those of bindings/projection.c, by the names of the contract.
uint8_t *__wasm_export_exports_eventfabric_query_queries_describe_queries(void);
uint8_t *__wasm_export_exports_eventfabric_query_queries_query(int32_t tx, uint8_t *name, size_t name_length, uint8_t *tenant,
                                                               size_t tenant_length, uint8_t *parameters, size_t count);
void ef_release(void);
uint8_t *ef_export_describe_queries(void);
void ef_export_queries_described(uint8_t *result);
uint8_t *ef_export_query(int32_t tx, uint8_t *name, size_t name_length, uint8_t *tenant, size_t tenant_length,
                         uint8_t *parameters, size_t count);
void ef_export_query_answered(uint8_t *result);
#define EF_QUERY_EXPORT(prefix, function) __attribute__((export_name(prefix "eventfabric:query/queries@0.1.0#" function)))
#define EF_QUERY_EXPORTS                                                                                             \
    EF_QUERY_EXPORT("", "describe-queries") uint8_t *ef_export_describe_queries(void) {                              \
        return __wasm_export_exports_eventfabric_query_queries_describe_queries();                                   \
    }                                                                                                                \
    EF_QUERY_EXPORT("cabi_post_", "describe-queries") void ef_export_queries_described(uint8_t *result) {            \
        (void)result;                                                                                                \
        ef_release();                                                                                                \
    }                                                                                                                \
    EF_QUERY_EXPORT("", "query")                                                                                     \
    uint8_t *ef_export_query(int32_t tx, uint8_t *name, size_t name_length, uint8_t *tenant, size_t tenant_length,   \
                             uint8_t *parameters, size_t count) {                                                    \
        return __wasm_export_exports_eventfabric_query_queries_query(tx, name, name_length, tenant, tenant_length,   \
                                                                     parameters, count);                             \
    }                                                                                                                \
    EF_QUERY_EXPORT("cabi_post_", "query") void ef_export_query_answered(uint8_t *result) {                          \
        (void)result;                                                                                                \
        ef_release();                                                                                                \
    }
#else
#define EF_QUERY_EXPORTS
#endif

#ifdef __cplusplus
}
#endif
#endif
