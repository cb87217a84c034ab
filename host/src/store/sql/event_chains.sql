-- How long the chains of causes are that led to events. $1 positions. Uses event_chains_pkey.
SELECT c.global_position, c.length
FROM eventfabric.event_chains c
WHERE c.global_position = ANY ($1::bigint[])
