-- Of events that are causes: how long the chain of causes is that led to each, and its trace, where there
-- is the one or the other. $1 positions. Uses event_chains_pkey, event_traces_pkey.
SELECT p.global_position AS "position!", c.length AS "length?", t.traceparent AS "traceparent?", t.tracestate
FROM unnest($1::bigint[]) AS p (global_position)
LEFT JOIN eventfabric.event_chains c USING (global_position)
LEFT JOIN eventfabric.event_traces t USING (global_position)
WHERE c.length IS NOT NULL OR t.traceparent IS NOT NULL
