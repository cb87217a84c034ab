// The inside of events.
#ifndef EVENTFABRIC_EVENT_H
#define EVENTFABRIC_EVENT_H

#include "eventfabric.h"

// An event of the contract, as an author sees it. Failures about it blame the event at the index.
ef_event ef_event_of(ef_tx *tx, const projection_event_t *raw, uint32_t index);

// Lifts an event as far as the steps of its type lead; what can't be lifted is a failure.
void ef_event_lift(ef_event *event, const ef_upcaster *steps);

// JSON with its numbers raw; NULL, and why, where it is none.
struct yyjson_val *ef_json_read(ef_str text, const char **why);

#endif
