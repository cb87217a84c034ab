-- Which trace an event belongs to (W3C Trace Context), where its append was traced. Other events have no
-- row here, and nothing depends on a row: they may be deleted at any time.
CREATE TABLE eventfabric.event_traces (
    global_position bigint NOT NULL,
    traceparent     text   NOT NULL,
    tracestate      text,
    CONSTRAINT event_traces_pkey PRIMARY KEY (global_position)
);
