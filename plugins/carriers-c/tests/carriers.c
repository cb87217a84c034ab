#include "eventfabric_testing.h"

static void a_batch_is_one_upsert_a_carrier_in_the_order_of_the_keys(void) {
    ef_recording *db = ef_recording_new();
    projection_event_t batch[] = {
        ef_test_event("FlightDeparted", "{\"carrier\": \"UA\", \"flight\": 1545}"),
        ef_test_event("FlightCancelled", "{\"carrier\": \"AA\"}"),
        ef_test_event("FlightArrived", "{\"carrier\": \"UA\", \"arr_delay\": -12}"),
        ef_test_event("FlightDeparted", "{\"carrier\": \"UA\"}"),
        ef_test_event("FlightArrived", "{\"carrier\": \"UA\", \"arr_delay\": 40}"),
        ef_test_event("FlightDiverted", "{\"carrier\": \"UA\"}"),
    };
    EF_CHECK(ef_test_run(ef_exported(), db, batch, 6, NULL));
    EF_CHECK(ef_round_trips(db) == 1);
    EF_CHECK(ef_recorded_count(db, "INSERT INTO carriers") == 2);
    EF_CHECK(ef_recorded(db, "INSERT INTO carriers", 0, ef_text("AA"), ef_int64(0), ef_int64(0), ef_int64(0), ef_int64(1), ef_int64(0)));
    EF_CHECK(ef_recorded(db, "INSERT INTO carriers", 1, ef_text("UA"), ef_int64(2), ef_int64(2), ef_int64(1), ef_int64(0), ef_int64(28)));
}

static void an_arrival_without_a_delay_is_poison_and_named(void) {
    ef_recording *db = ef_recording_new();
    projection_failure_t failure;
    projection_event_t batch[] = {
        ef_test_event("FlightDeparted", "{\"carrier\": \"UA\"}"),
        ef_test_event("FlightArrived", "{\"carrier\": \"UA\"}"),
    };
    EF_CHECK(!ef_test_run(ef_exported(), db, batch, 2, &failure));
    EF_CHECK(failure.kind == EVENTFABRIC_PROJECTION_TYPES_FAILURE_KIND_POISON && failure.index.is_some && failure.index.val == 1);
    EF_CHECK(strstr((const char *)failure.message.ptr, "missing field `arr_delay`"));
    EF_CHECK(ef_round_trips(db) == 0);
}

int main(void) {
    a_batch_is_one_upsert_a_carrier_in_the_order_of_the_keys();
    an_arrival_without_a_delay_is_poison_and_named();
    return ef_test_result();
}
