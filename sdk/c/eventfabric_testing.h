// Runs a projection natively, without a host: its logic, in milliseconds. Whether the SQL is right is what scenarios
// test. Link with testing.c in place of component.c and wasi.c (CMake: eventfabric_testing).
#ifndef EVENTFABRIC_TESTING_H
#define EVENTFABRIC_TESTING_H

#include <stdio.h>

#include "eventfabric.h"

#ifdef __cplusplus
extern "C" {
#endif

// An event of the stream Test/1 with a payload from JSON text. Its fields can be set.
projection_event_t ef_test_event(const char *event_type, const char *payload);

// A transaction that records statements, and answers queries from a script.
typedef struct ef_recording ef_recording;
ef_recording *ef_recording_new(void);

// The next query whose text holds a part returns a row with one column, or fails. Answers are used up in their order;
// a query without one returns no rows.
void ef_answer(ef_recording *db, const char *part, const char *column, ef_value value);
void ef_answer_error(ef_recording *db, const char *part, eventfabric_projection_sql_sql_error_kind_t kind,
                     const char *sqlstate, const char *message);

// How often the database was called: a batch counts once.
size_t ef_round_trips(const ef_recording *db);

// How many statements reached the database whose text holds a part ("" for all); the text of one of them, from 0; and
// whether its parameters are these.
size_t ef_recorded_count(const ef_recording *db, const char *part);
const char *ef_recorded_text(const ef_recording *db, const char *part, size_t index);
#define ef_recorded(db, part, index, ...)                                                                            \
    ef_recorded_values(db, part, index, (ef_value[]){__VA_ARGS__, ef_null()},                                        \
                       sizeof((ef_value[]){__VA_ARGS__, ef_null()}) / sizeof(ef_value) - 1)
bool ef_recorded_values(const ef_recording *db, const char *part, size_t index, const ef_value *params, size_t count);

// One parameter of such a statement, from 0; NULL where there is none.
const ef_value *ef_recorded_param(const ef_recording *db, const char *part, size_t index, size_t param);

// Whether two values are the same.
bool ef_value_equals(ef_value a, ef_value b);

// Hands a batch to a projection, as the host does; events are numbered from position 1. False where it fails; the failure
// is then told where it is asked for.
bool ef_test_run(const ef_projection *projection, ef_recording *db, projection_event_t *events, size_t count,
                 projection_failure_t *failure);

// Asks a query for the tenant `default`, as the host does. False where it fails; the failure is then told where it is asked
// for. The answer lives until the test ends:
//
//     EF_CHECK(ef_test_query(queries, db, "richest", EF_COLUMNS({"least", ef_int64(1)}), &rows, &failure));
bool ef_test_query(const ef_named_query *queries, ef_recording *db, const char *name, const ef_column *parameters,
                   size_t count, eventfabric_projection_sql_row_set_t *rows, projection_failure_t *failure);

// What the queries of a plugin say of themselves.
exports_eventfabric_query_queries_list_query_description_t ef_test_describe_queries(const ef_named_query *queries);

// Adds an event to a stream of the log.
void ef_test_stream(ef_recording *db, const char *aggregate, const char *id, projection_event_t event);

// The next use of the log fails: `kind` is EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_….
void ef_test_refuse(ef_recording *db, uint8_t kind, const char *message);

// What was appended.
typedef struct ef_test_appended {
    uint32_t cause;
    const char *aggregate, *id, *event_type, *payload, *topic;
    uint32_t schema_version;
} ef_test_appended;
const ef_test_appended *ef_appended(const ef_recording *db, size_t index); // from 0; NULL where there is none

// The next request gets this answer, or fails: `kind` is EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_…. Those that nothing was said
// of get the status 200.
void ef_test_respond(ef_recording *db, uint16_t status, const char *header, const char *value, const char *body);
void ef_test_fail_request(ef_recording *db, uint8_t kind, const char *message);

// What was sent.
typedef struct ef_test_sent {
    uint32_t cause, timeout_ms;
    uint8_t method; // EVENTFABRIC_REACTOR_OUTGOING_METHOD_…
    const char *url, *body;
    const char *headers; // "name: value\n" for each
} ef_test_sent;
const ef_test_sent *ef_sent(const ef_recording *db, size_t index); // from 0; NULL where there is none

// What ef_config returns from now on.
void ef_test_config(const char *key, const char *value);

// Notes what is not so, with its place; ef_test_result is what `main` returns.
#define EF_CHECK(condition) ef_test_check(condition, #condition, __FILE__, __LINE__)
void ef_test_check(bool condition, const char *text, const char *file, int line);
int ef_test_result(void);

#ifdef __cplusplus
}
#endif
#endif
