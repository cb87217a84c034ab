package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

func TestABatchIsOneUpsertACarrierInTheOrderOfTheKeys(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	err := eventfabrictest.Run(projection, db,
		eventfabrictest.Event("FlightDeparted", `{"carrier": "UA", "flight": 1545}`),
		eventfabrictest.Event("FlightCancelled", `{"carrier": "AA"}`),
		eventfabrictest.Event("FlightArrived", `{"carrier": "UA", "arr_delay": -12}`),
		eventfabrictest.Event("FlightDeparted", `{"carrier": "UA"}`),
		eventfabrictest.Event("FlightArrived", `{"carrier": "UA", "arr_delay": 40}`),
		eventfabrictest.Event("FlightDiverted", `{"carrier": "UA"}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]any{
		eventfabrictest.Params("AA", 0, 0, 0, 1, 0),
		eventfabrictest.Params("UA", 2, 2, 1, 0, 28),
	}
	if got := db.CallsOf("INSERT INTO carriers"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if db.RoundTrips != 1 {
		t.Errorf("%d round trips", db.RoundTrips)
	}
}

func TestAnArrivalWithoutADelayIsPoisonAndNamed(t *testing.T) {
	db := &eventfabrictest.RecordingTx{}
	err := eventfabrictest.Run(projection, db,
		eventfabrictest.Event("FlightDeparted", `{"carrier": "UA"}`),
		eventfabrictest.Event("FlightArrived", `{"carrier": "UA"}`),
	)
	failure, ok := errors.AsType[*eventfabric.Failure](err)
	if !ok || failure.Kind != eventfabric.KindPoison || failure.Event != 1 ||
		!strings.Contains(failure.Error(), "missing field `arr_delay`") {
		t.Errorf("got %v", err)
	}
	if db.RoundTrips != 0 {
		t.Errorf("%d round trips", db.RoundTrips)
	}
}
