// The inside of events.
#ifndef EVENTFABRIC_EVENT_H
#define EVENTFABRIC_EVENT_H

#include "eventfabric.h"

// Lifts an event as far as the steps of its type lead; what can't be lifted is a failure.
void ef_event_lift(ef_event *event, const ef_upcaster *steps);

#endif
