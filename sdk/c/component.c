// What makes a component of a projection: the exports of the contract, and its imports as a backend.

#include <stdio.h>

#include "internal.h"

// In place of the weak functions in bindings/projection.c: what the host hands over is memory of the batch.
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *memory, size_t old_size, size_t align, size_t new_size) {
    return new_size ? ef_grown(memory, old_size, new_size) : (void *)align;
}

__attribute__((export_name("cabi_post_describe"))) void __wasm_export_exports_projection_describe_post_return(uint8_t *result) {
    (void)result;
    ef_release();
}

__attribute__((export_name("cabi_post_handle"))) void __wasm_export_exports_projection_handle_post_return(uint8_t *result) {
    (void)result;
    ef_release();
}

static eventfabric_projection_sql_borrow_tx_t handle_of(void *self) {
    return *(eventfabric_projection_sql_borrow_tx_t *)self;
}

static bool execute(void *self, ef_str statement, ef_values params, uint64_t *rows, ef_sql_error *error) {
    return eventfabric_projection_sql_method_tx_execute(handle_of(self), &statement, &params, rows, error);
}

static bool query(void *self, ef_str statement, ef_values params, ef_row_set *rows, ef_sql_error *error) {
    return eventfabric_projection_sql_method_tx_query(handle_of(self), &statement, &params, rows, error);
}

static bool execute_batch(void *self, projection_list_string_t statements, ef_calls calls, ef_batch_error *error) {
    projection_list_u64_t counts;
    return eventfabric_projection_sql_method_tx_execute_batch(handle_of(self), &statements, &calls, &counts, error);
}

void ef_write_log(ef_level level, ef_str message) { eventfabric_projection_log_write((uint8_t)level, &message); }

bool ef_read_config(ef_str key, ef_str *value) { return eventfabric_projection_config_get(&key, value); }

bool ef_host_load(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, uint32_t after, uint32_t limit,
                  ef_page *page, ef_append_error *error) {
    return eventfabric_process_manager_event_store_load(handle_of(backend->self), cause, &aggregate, &id, after, limit, page,
                                                        error);
}

bool ef_host_append(const ef_backend *backend, uint32_t cause, ef_str aggregate, ef_str id, ef_expected_version expected,
                    ef_new_events events, uint32_t *version, ef_append_error *error) {
    return eventfabric_process_manager_event_store_append(handle_of(backend->self), cause, &aggregate, &id, &expected, &events,
                                                          version, error);
}

bool ef_host_send(const ef_backend *backend, uint32_t cause, ef_outgoing_request *request, ef_outgoing_response *response,
                  ef_send_error *error) {
    (void)backend;
    return eventfabric_reactor_outgoing_send(cause, request, response, error);
}

// There where the plugin prints, and only there.
extern int fflush(FILE *) __attribute__((weak));

void exports_projection_describe(projection_description_t *description) { ef_describe(ef_exported(), description); }

bool exports_projection_handle(projection_borrow_tx_t tx, projection_list_event_t *events, projection_failure_t *failure) {
    ef_backend backend = {&tx, execute, query, execute_batch};
    bool well = ef_handle(ef_exported(), &backend, events->ptr, events->len, failure);
    if (fflush) fflush(NULL);
    return well;
}

void exports_eventfabric_query_queries_describe_queries(exports_eventfabric_query_queries_list_query_description_t *list) {
    ef_describe_queries(ef_exported_queries(), list);
}

bool exports_eventfabric_query_queries_query(exports_eventfabric_query_queries_borrow_tx_t tx,
                                             exports_eventfabric_query_queries_request_t *request,
                                             exports_eventfabric_query_queries_row_set_t *rows,
                                             exports_eventfabric_query_queries_failure_t *failure) {
    ef_backend backend = {&tx, execute, query, execute_batch};
    bool well = ef_answer_query(ef_exported_queries(), &backend, request, rows, failure);
    if (fflush) fflush(NULL);
    return well;
}
