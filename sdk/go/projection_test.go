package eventfabric_test

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"eventfabric.dev/eventfabric"
	"eventfabric.dev/eventfabric/eventfabrictest"
)

func files(names ...string) fs.FS {
	files := fstest.MapFS{"README.md": {}}
	for _, name := range names {
		files[name] = &fstest.MapFile{Data: []byte("SELECT 1")}
	}
	return files
}

func TestNumberAndNameOfAMigrationComeFromItsFile(t *testing.T) {
	projection := handling(nil)
	projection.Migrations = files("migrations/010_add_gates.sql", "migrations/002_create_flights.sql")
	description, err := projection.Describe()
	want := []eventfabric.Migration{
		{Number: 2, Name: "create flights", SQL: "SELECT 1"},
		{Number: 10, Name: "add gates", SQL: "SELECT 1"},
	}
	if err != nil || !reflect.DeepEqual(description.Migrations, want) {
		t.Errorf("%v, %v", description.Migrations, err)
	}
}

func TestAProjectionThatIsNotWellMadeIsRefused(t *testing.T) {
	on := func(name string) eventfabric.Handler {
		return eventfabric.On(name, func(*eventfabric.Tx, anyPayload) error { return nil })
	}
	for words, projection := range map[string]eventfabric.Projection{
		"neither Handlers nor a Batch": {},
		"handles Opened twice":         {Handlers: []eventfabric.Handler{on("Opened"), on("Opened")}},
		"Topics.Only and Topics.Except": {
			Handlers: []eventfabric.Handler{on("Opened")}, Topics: eventfabric.Topics{Only: []string{"a"}, Except: []string{"b"}},
		},
		"create.sql is not": {Handlers: []eventfabric.Handler{on("Opened")}, Migrations: files("create.sql")},
		"000_x.sql is not":  {Handlers: []eventfabric.Handler{on("Opened")}, Migrations: files("000_x.sql")},
	} {
		if _, err := projection.Describe(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, not %s", err, words)
		}
	}
}

func TestAHandlerForTheRestTakesAllTypes(t *testing.T) {
	var got []string
	on := func(name string) eventfabric.Handler {
		return eventfabric.On(name, func(tx *eventfabric.Tx, e anyPayload) error {
			got = append(got, name+" "+e.Type)
			return nil
		})
	}
	projection := eventfabric.Projection{Name: "rest", Handlers: []eventfabric.Handler{on(eventfabric.AnyType), on("Opened")}}
	if description, err := projection.Describe(); err != nil || description.EventTypes != nil {
		t.Errorf("%v, %v", description.EventTypes, err)
	}
	err := eventfabrictest.Run(projection, &eventfabrictest.RecordingTx{}, eventfabrictest.Event("Opened", "{}"), eventfabrictest.Event("Closed", "{}"))
	if err != nil || !reflect.DeepEqual(got, []string{"Opened Opened", "* Closed"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSettingsAreReadByKey(t *testing.T) {
	eventfabrictest.SetConfig(t, map[string]string{"region": "eu"})
	region, ok := eventfabric.Config("region")
	_, none := eventfabric.Config("zone")
	if region != "eu" || !ok || none || len(eventfabric.Settings()) != 1 {
		t.Errorf("%q %t %t %v", region, ok, none, eventfabric.Settings())
	}
}

func upcasters() []eventfabric.Upcaster {
	mark := func(payload eventfabric.Payload) error {
		if _, bad := payload["bad"]; bad {
			return errors.New("a bad payload")
		}
		var seen int64
		if _, ok := payload["seen"]; ok {
			if err := payload.Get("seen", &seen); err != nil {
				return err
			}
		}
		return payload.Set("seen", seen+1)
	}
	return []eventfabric.Upcaster{
		eventfabric.Upcast("Opened", 2, mark), eventfabric.Upcast("Opened", 1, mark), eventfabric.Upcast("Closed", 4, mark),
	}
}

func TestEventsAreLiftedStepByStepAndOthersLeftAlone(t *testing.T) {
	for _, c := range []struct {
		eventType string
		version   uint32
		payload   string
		newest    uint32
		want      string
	}{
		{"Opened", 1, `{"big":12345678901234567890123}`, 3, `{"big":12345678901234567890123,"seen":2,"type":"Opened","version":3}`},
		{"Opened", 3, `{}`, 3, `{"type":"Opened","version":1}`},
		{"Moved", 7, `{"big":12345678901234567890123}`, 7, `{"big":12345678901234567890123,"type":"Moved","version":1}`},
	} {
		var got eventfabric.RawEvent
		projection := handling(func(tx *eventfabric.Tx, e anyPayload) error {
			got = e.RawEvent
			return nil
		})
		projection.Upcasters = upcasters()
		event := eventfabrictest.Event(c.eventType, c.payload)
		event.SchemaVersion = c.version
		err := eventfabrictest.Run(projection, &eventfabrictest.RecordingTx{}, event)
		if err != nil || got.SchemaVersion != c.newest || got.Payload != c.want {
			t.Errorf("%s %d became %d %s, %v", c.eventType, c.version, got.SchemaVersion, got.Payload, err)
		}
	}
}

func TestWhatCannotBeLiftedIsPoisonAndNamed(t *testing.T) {
	for _, c := range []struct {
		eventType, payload string
		version            uint32
		words              string
	}{
		{"Opened", "{}", 4, "Opened version 4 at position 1 (stream Test/1): schema version 4 is newer than this plugin"},
		{"Closed", "{}", 1, "nothing lifts schema version 1 to 2"},
		{"Opened", `{"bad": 1}`, 2, "the upcaster from schema version 2: a bad payload"},
		{"Opened", `{"seen": "x"}`, 2, "field `seen`"},
	} {
		projection := handling(func(*eventfabric.Tx, anyPayload) error { return nil })
		projection.Upcasters = upcasters()
		event := eventfabrictest.Event(c.eventType, c.payload)
		event.SchemaVersion = c.version
		err := eventfabrictest.Run(projection, &eventfabrictest.RecordingTx{}, event)
		failure, ok := err.(*eventfabric.Failure)
		if !ok || failure.Kind != eventfabric.KindPoison || failure.Event != 0 || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, not %s", err, c.words)
		}
	}
}
