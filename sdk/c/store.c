// The log, for projections that answer events with events.

#include "event.h"
#include "tx.h"

// How many events are asked for at a time.
enum { PAGE = 500 };

#define E(TAG) EVENTFABRIC_PROCESS_MANAGER_EVENT_STORE_APPEND_ERROR_##TAG

static void refused(ef_tx *tx, const ef_event *cause, ef_append_error error) {
    switch (error.tag) {
    case E(CONFLICT):
        ef_fail(tx, RETRY, cause->index,
                ef_format("somebody else has appended to the stream, which is at version %u", (unsigned)error.val.conflict));
        break;
    case E(DATABASE):
        ef_fail(tx, RETRY, cause->index, error.val.database);
        break;
    default: // all of them are texts
        ef_fail(tx, POISON, cause->index, error.val.denied);
    }
}

ef_stream *ef_load_after(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id, uint32_t version) {
    ef_event *events = NULL;
    size_t count = 0;
    for (bool more = true; more;) {
        ef_page page;
        ef_append_error error;
        if (tx->failed) return NULL;
        if (!ef_host_load(tx->backend, cause->index, ef_str_of(aggregate), id, version, PAGE, &page, &error)) {
            refused(tx, cause, error);
            return NULL;
        }
        events = ef_grown(events, count * sizeof(ef_event), (count + page.events.len) * sizeof(ef_event));
        for (size_t i = 0; i < page.events.len; i++) {
            ef_event *event = &events[count++];
            *event = ef_event_of(tx, &page.events.ptr[i], cause->index);
            ef_event_lift(event, tx->upcasters);
        }
        version = page.version;
        more = page.more;
    }
    if (tx->failed) return NULL;
    ef_stream *stream = ef_alloc(sizeof(ef_stream));
    *stream = (ef_stream){events, count, version};
    return stream;
}

ef_stream *ef_load(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id) {
    return ef_load_after(tx, cause, aggregate, id, 0);
}

uint32_t ef_append_events(ef_tx *tx, const ef_event *cause, const char *aggregate, ef_str id, ef_expected expected,
                          bool *conflict, const ef_new_event *events, size_t count) {
    if (conflict) *conflict = false;
    if (tx->failed) return 0;
    ef_new_events list = {ef_alloc(count * sizeof(*list.ptr)), count};
    for (size_t i = 0; i < count; i++) {
        list.ptr[i].event_type = ef_str_of(events[i].event_type);
        list.ptr[i].schema_version = events[i].schema_version ? events[i].schema_version : 1;
        list.ptr[i].payload = events[i].data.ptr ? events[i].data : ef_str_of("{}");
        list.ptr[i].topic.is_some = events[i].topic;
        list.ptr[i].topic.val = ef_str_of(events[i].topic);
    }
    ef_expected_version version = {.tag = expected.tag, .val.exact = expected.version};
    ef_append_error error;
    uint32_t now = 0;
    if (ef_host_append(tx->backend, cause->index, ef_str_of(aggregate), id, version, list, &now, &error)) return now;
    if (conflict && error.tag == E(CONFLICT)) {
        *conflict = true;
        return error.val.conflict;
    }
    refused(tx, cause, error);
    return 0;
}
