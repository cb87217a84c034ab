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

typedef eventfabric_process_manager_event_store_page_t ef_page;
typedef eventfabric_process_manager_event_store_append_error_t ef_append_error;
typedef eventfabric_process_manager_event_store_expected_version_t ef_expected_version;
typedef eventfabric_process_manager_event_store_list_new_event_t ef_new_events;
typedef eventfabric_reactor_outgoing_request_t ef_outgoing_request;
typedef eventfabric_reactor_outgoing_response_t ef_outgoing_response;
typedef eventfabric_reactor_outgoing_send_error_t ef_send_error;

// One of each is in the component, and one in the tests. The linker leaves out what a plugin does not call, and with it the
// import.
bool ef_host_load(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, uint32_t after, uint32_t limit,
                  ef_page *page, ef_append_error *error);
bool ef_host_append(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, ef_expected_version expected,
                    ef_new_events events, uint32_t *version, ef_append_error *error);
bool ef_host_send(const ef_backend *backend, uint32_t cause, ef_outgoing_request *request, ef_outgoing_response *response,
                  ef_send_error *error);
void ef_write_log(ef_level level, ef_str message);
bool ef_read_config(ef_str key, ef_str *value);

#endif
