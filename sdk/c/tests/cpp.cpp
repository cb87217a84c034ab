// The layer for C++, on the double of the transaction.

#include "eventfabric.hpp"
#include "eventfabric_testing.h"

using namespace eventfabric;

static const Table accounts("accounts", "account");

static void opened(Tx &tx, const Event &event) {
    tx.run("INSERT INTO owners VALUES ($1, $2, $3, $4)", event.aggregate_id(), event.text("owner"), event->version,
           event.optional_text("note"));
    Rows rows = tx.query_one("SELECT cents FROM accounts");
    EF_CHECK(std::get<int64_t>(rows.at(0, "cents")) == 9007199254740993);
    EF_CHECK(rows.int64(0, "cents") == 9007199254740993);
    accounts.increment(tx, {value(event.aggregate_id())}, {{"cents", value(int64_t{7})}});
    accounts.increment(tx, {value(event.aggregate_id())}, {{"cents", value(int64_t{-2})}});
}

static void closed(Tx &tx, const Event &event) {
    tx.poison(std::string("there is no account ") + std::string(event.aggregate_id()));
}

static void answered(Tx &tx, const Event &event) {
    Stream stream = tx.load(event, "Account", "a");
    EF_CHECK(stream && stream.size() == 1 && stream[0].int64("cents") == 5 && stream.version() == 1);
    bool conflict = false;
    EF_CHECK(tx.append(event, "Account", "a", ef_no_stream(), {{"Closed", {}, 1, nullptr}}, &conflict) == 1 && conflict);
    std::string_view data = tx.object({{"cents", value(int64_t{7})}});
    EF_CHECK(tx.append(event, "Account", "a", ef_exact(1), {{"Withdrawn", str(data), 1, nullptr}}) == 2);
    ef_request_to request{};
    request.url = str("https://h/x");
    request.json = str(data);
    Response response = tx.send(event, request);
    EF_CHECK(response.check() && response.status() == 204 && response.header("x-id") == "7" && !response.header("no"));
}

static const ef_handler handlers[] = {
    {"AccountOpened", handler<opened>}, {"AccountClosed", handler<closed>}, {"Asked", handler<answered>}, {nullptr, nullptr}};

static Rows richest(Tx &tx, const Request &request) {
    EF_CHECK(request.text("currency") == "EUR" && !request.timestamptz("since") && !request.given("since"));
    return tx.query("SELECT id FROM accounts", request.raw("currency"), request.int64("limit").value_or(10), request.date("day"));
}

static const ef_parameter parameters[] = {{"currency", "Such as EUR", EF_PARAM_TEXT, false},
                                          {"limit", "", EF_PARAM_INT64, true},
                                          {"since", "", EF_PARAM_TIMESTAMPTZ, true},
                                          {"day", "", EF_PARAM_DATE, true},
                                          {}};
static const ef_named_query queries[] = {{"richest", "Who has most", answer<richest>, parameters, false}, {}};
EF_EXPORT_QUERIES(queries)

int main() {
    ef_projection projection{};
    projection.name = "accounts";
    projection.handlers = handlers;

    ef_recording *db = ef_recording_new();
    ef_answer(db, "SELECT", "cents", value(int64_t{9007199254740993}));
    projection_event_t events[] = {ef_test_event("AccountOpened", "{\"owner\": \"Ada\"}"), ef_test_event("AccountClosed", "{}")};
    EF_CHECK(ef_test_run(&projection, db, events, 1, nullptr));
    const ef_value row[] = {value("1"), value("Ada"), value(int64_t{1}), value(nullptr)};
    EF_CHECK(ef_recorded_values(db, "INSERT INTO owners", 0, row, 4));
    const ef_value merged[] = {value("1"), value(int64_t{5})};
    EF_CHECK(ef_recorded_values(db, "INSERT INTO \"accounts\"", 0, merged, 2));

    projection_failure_t failure;
    EF_CHECK(!ef_test_run(&projection, ef_recording_new(), events + 1, 1, &failure));
    EF_CHECK(view(failure.message) == "there is no account 1");

    EF_CHECK(ef_value_equals(value(uint64_t{18446744073709551615u}), value(Numeric{"18446744073709551615"})));
    EF_CHECK(ef_value_equals(value(std::optional<int16_t>{}), ef_null()));
    EF_CHECK(ef_value_equals(value(std::string_view{}), value("")));

    db = ef_recording_new();
    const ef_column asked[] = {{"currency", value("EUR")}, {"day", value(Date{7})}};
    EF_CHECK(ef_test_query(ef_exported_queries(), db, "richest", asked, 2, nullptr, nullptr));
    const ef_value sent[] = {value("EUR"), value(int64_t{10}), value(Date{7})};
    EF_CHECK(ef_recorded_values(db, "SELECT id", 0, sent, 3));

    db = ef_recording_new();
    ef_test_stream(db, "Account", "a", ef_test_event("Opened", "{\"cents\": 5}"));
    ef_test_respond(db, 204, "x-id", "7", nullptr);
    projection_event_t question = ef_test_event("Asked", "{}");
    EF_CHECK(ef_test_run(&projection, db, &question, 1, nullptr));
    EF_CHECK(std::string_view(ef_appended(db, 0)->payload) == "{\"cents\":7}" && std::string_view(ef_sent(db, 0)->body) == "{\"cents\":7}");
    return ef_test_result();
}
