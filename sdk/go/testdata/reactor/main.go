// A projection that tells other systems.
package main

import (
	"time"

	"eventfabric.dev/eventfabric"
)

type registered struct {
	URL  string `json:"url"`
	Name string `json:"name"`
}

func init() {
	eventfabric.Export(eventfabric.Projection{
		Name:     "go_reactor",
		Mode:     eventfabric.Async,
		Handlers: []eventfabric.Handler{eventfabric.On("Registered", tell)},
	})
}

func main() {}

func tell(tx *eventfabric.Tx, e eventfabric.Event[registered]) error {
	response, err := eventfabric.Send(tx, e, eventfabric.Request{
		URL: e.Data.URL, JSON: map[string]string{"name": e.Data.Name}, Timeout: 2 * time.Second,
		Headers: []eventfabric.Header{{Name: "x-sdk", Value: "go"}},
	})
	if err != nil {
		return err
	}
	if err := response.Err(); err != nil {
		return err
	}
	if next := response.Header("x-next"); next != "" {
		response, err = eventfabric.Send(tx, e, eventfabric.Request{Method: "DELETE", URL: next})
		if err != nil {
			return err
		}
		return response.Err()
	}
	return nil
}
