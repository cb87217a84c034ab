// A projection that tells other systems.

#include "eventfabric.h"

static void tell(ef_tx *tx, const ef_event *event) {
    ef_request_to request = {
        .url = ef_event_text(event, "url"),
        .json = ef_object(tx, EF_COLUMNS({"name", ef_text(ef_event_text(event, "name"))})),
        .headers = (const ef_header[]){{"x-sdk", ef_str_of("c")}, {0}},
        .timeout_ms = 2000,
    };
    const ef_response *response = ef_send(tx, event, request);
    if (!ef_response_check(response)) return;
    ef_str next = ef_response_header(response, "x-next");
    if (next.ptr) ef_response_check(ef_send(tx, event, (ef_request_to){.url = next, .method = "DELETE"}));
}

static const ef_projection projection = {
    .name = "c_reactor",
    .mode = EF_ASYNC,
    .handlers = (const ef_handler[]){{"Registered", tell}, {0}},
};
EF_EXPORT(projection)
