-- The traces of events, of those that have one. $1 positions. Uses event_traces_pkey.
SELECT t.global_position AS "position!", t.traceparent AS "traceparent!", t.tracestate
FROM eventfabric.event_traces t
WHERE t.global_position = ANY ($1::bigint[])
