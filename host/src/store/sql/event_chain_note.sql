-- Notes the chain of causes of events that a plugin appends: $1 their positions, $2 its length.
INSERT INTO eventfabric.event_chains (global_position, length)
SELECT p.global_position, $2
FROM unnest($1::bigint[]) AS p (global_position)
