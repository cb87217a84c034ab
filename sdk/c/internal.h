// What the parts of the SDK share.
#ifndef EVENTFABRIC_INTERNAL_H
#define EVENTFABRIC_INTERNAL_H

#include <stdarg.h>

#include "eventfabric.h"

typedef eventfabric_projection_sql_sql_error_t ef_sql_error;
typedef eventfabric_projection_sql_list_value_t ef_values;
typedef eventfabric_projection_sql_list_call_t ef_calls;
typedef eventfabric_projection_sql_batch_error_t ef_batch_error;
typedef eventfabric_projection_sql_row_set_t ef_row_set;

// What carries out statements: the host, or a double in tests.
typedef struct ef_backend {
    void *self;
    bool (*execute)(void *self, ef_str statement, ef_values params, uint64_t *rows, ef_sql_error *error);
    bool (*query)(void *self, ef_str statement, ef_values params, ef_row_set *rows, ef_sql_error *error);
    bool (*execute_batch)(void *self, projection_list_string_t statements, ef_calls calls, ef_batch_error *error);
} ef_backend;

// Handles a batch as the host would have it handled. The component and the tests both come here.
bool ef_handle(const ef_projection *projection, const ef_backend *backend, const projection_event_t *events,
               size_t count, projection_failure_t *failure);

// What a projection says of itself.
void ef_describe(const ef_projection *projection, projection_description_t *description);

// Answers a request as the host would have it answered. The component and the tests both come here.
bool ef_answer_query(const ef_named_query *queries, const ef_backend *backend,
                     const exports_eventfabric_query_queries_request_t *asked, ef_row_set *rows, projection_failure_t *failure);

// What queries say of themselves.
void ef_describe_queries(const ef_named_query *queries, exports_eventfabric_query_queries_list_query_description_t *list);

// Says why the plugin can't be described, and traps.
_Noreturn void ef_refuse(ef_str why);

ef_str ef_vformat(const char *format, va_list arguments);

// Memory of the batch, and its end. `grown` moves what was there.
void *ef_grown(void *memory, size_t old_size, size_t new_size);
void ef_release(void);

// One of each is in the component, and one in the tests.
void ef_write_log(ef_level level, ef_str message);
bool ef_read_config(ef_str key, ef_str *value);

#endif
