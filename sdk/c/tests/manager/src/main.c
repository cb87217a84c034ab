// A projection that answers events with events.

#include "eventfabric.h"

static void answer(ef_tx *tx, const ef_event *event) {
    ef_str account = ef_event_text(event, "account");
    int64_t cents = ef_event_int64(event, "cents"), balance = 0;
    ef_stream *stream = ef_load(tx, event, "Account", account);
    if (!stream) return;
    for (size_t i = 0; i < stream->count; i++) {
        int64_t by = ef_event_int64(&stream->events[i], "cents");
        balance += ef_str_equals(stream->events[i].event_type, "MoneyWithdrawn") ? -by : by;
    }
    // What the stream is not: the conflict leaves the transaction usable.
    bool conflict;
    uint32_t version = ef_append(tx, event, "Account", account, ef_exact(stream->version + 1), &conflict,
                                 EF_EVENTS({"MoneyWithdrawn", .schema_version = 1}));
    if (!conflict || version != stream->version) ef_fatal(tx, "no conflict");
    if (balance < cents) {
        ef_append(tx, event, "Refusal", event->aggregate_id, ef_no_stream(), NULL,
                  EF_EVENTS({"WithdrawalRefused", ef_object(tx, EF_COLUMNS({"asked", ef_int64(cents)}, {"has", ef_int64(balance)})),
                             .topic = "mail"}));
        return;
    }
    ef_append(tx, event, "Account", account, ef_exact(version), NULL,
              EF_EVENTS({"MoneyWithdrawn", ef_object(tx, EF_COLUMNS({"cents", ef_int64(cents)})), 1, NULL}));
}

static const ef_projection projection = {
    .name = "c_manager",
    .mode = EF_CATCH_UP,
    .handlers = (const ef_handler[]){{"WithdrawalAsked", answer}, {0}},
};
EF_EXPORT(projection)
