// Requests to other systems.

#include <strings.h>

#include "event.h"
#include "tx.h"

// How much of an answer stands in a failure, in characters.
enum { BEGINNING = 200 };

#define METHOD(TAG) EVENTFABRIC_REACTOR_OUTGOING_METHOD_##TAG

static bool method_of(const char *name, bool has_body, uint8_t *method) {
    static const struct {
        const char *name;
        uint8_t method;
    } methods[] = {{"GET", METHOD(GET)}, {"HEAD", METHOD(HEAD)},   {"POST", METHOD(POST)},
                   {"PUT", METHOD(PUT)}, {"PATCH", METHOD(PATCH)}, {"DELETE", METHOD(DELETE)}};
    if (!name) name = has_body ? "POST" : "GET";
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, name)) continue;
        *method = methods[i].method;
        return true;
    }
    return false;
}

static bool is_named(ef_str name, const char *other) {
    return name.len == strlen(other) && strncasecmp((const char *)name.ptr, other, name.len) == 0;
}

static eventfabric_reactor_outgoing_list_header_t headers_of(const ef_request_to *request) {
    size_t count = 0;
    while (request->headers && request->headers[count].name) count++;
    eventfabric_reactor_outgoing_list_header_t list = {ef_alloc((count + 1) * sizeof(*list.ptr)), count};
    bool has_type = false;
    for (size_t i = 0; i < count; i++) {
        list.ptr[i].f0 = ef_str_of(request->headers[i].name);
        list.ptr[i].f1 = request->headers[i].value;
        has_type |= is_named(list.ptr[i].f0, "content-type");
    }
    if (request->json.ptr && !has_type) {
        list.ptr[list.len].f0 = ef_str_of("content-type");
        list.ptr[list.len++].f1 = ef_str_of("application/json");
    }
    return list;
}

const ef_response *ef_send(ef_tx *tx, const ef_event *cause, ef_request_to request) {
    if (tx->failed) return NULL;
    ef_str body = request.json.ptr ? request.json : request.body;
    ef_outgoing_request out = {.url = request.url, .headers = headers_of(&request)};
    out.body.ptr = body.ptr;
    out.body.len = body.len;
    out.timeout_ms.is_some = request.timeout_ms;
    out.timeout_ms.val = request.timeout_ms;
    if (!method_of(request.method, body.ptr, &out.method)) {
        ef_fail(tx, POISON, cause->index, ef_format("there is no method %s", request.method));
        return NULL;
    }
    ef_response *response = ef_alloc(sizeof(ef_response));
    *response = (ef_response){.cause = cause, .tx = tx};
    ef_outgoing_response answer;
    ef_send_error error;
    if (!ef_host_send(tx->backend, cause->index, &out, &answer, &error)) {
        bool passes = error.tag == EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_TIMEOUT ||
                      error.tag == EVENTFABRIC_REACTOR_OUTGOING_SEND_ERROR_CONNECTION;
        ef_fail(tx, passes ? RETRY : POISON, cause->index, error.val.denied); // all of them are texts
        return NULL;
    }
    response->status = answer.status;
    response->headers = answer.headers;
    response->body.ptr = answer.body.ptr;
    response->body.len = answer.body.len;
    return response;
}

ef_str ef_response_header(const ef_response *response, const char *name) {
    ef_str none = {NULL, 0};
    for (size_t i = 0; response && i < response->headers.len; i++) {
        if (is_named(response->headers.ptr[i].f0, name)) return response->headers.ptr[i].f1;
    }
    return none;
}

bool ef_response_check(const ef_response *response) {
    if (!response) return false;
    unsigned status = response->status;
    if (status >= 200 && status < 300) return true;
    ef_str message = ef_format("the server answered %u", status);
    static const char *const names[] = {"retry-after", "location"};
    for (size_t i = 0; i < 2; i++) {
        ef_str value = ef_response_header(response, names[i]);
        if (value.ptr) message = ef_format("%.*s, %s: %.*s", EF_STR(message), names[i], EF_STR(value));
    }
    size_t end = 0, characters = 0;
    for (; end < response->body.len; end++) {
        characters += (response->body.ptr[end] & 0xC0) != 0x80;
        if (characters > BEGINNING) break;
    }
    if (end) message = ef_format("%.*s: %.*s", EF_STR(message), (int)end, (const char *)response->body.ptr);
    bool passes = status == 408 || status == 425 || status == 429 || status >= 500;
    ef_fail(response->tx, passes ? RETRY : POISON, response->cause->index, message);
    return false;
}

struct yyjson_val *ef_response_json(const ef_response *response) {
    if (!response) return NULL;
    const char *why = NULL;
    struct yyjson_val *root = ef_json_read(response->body, &why);
    if (!root) {
        ef_fail(response->tx, POISON, response->cause->index,
                ef_format("the answer (%u) can't be read: %s", response->status, why));
    }
    return root;
}
