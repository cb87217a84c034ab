-- Events that this transaction has written, as they are stored, in the order of their streams: $1 their
-- positions; each with the seal before it, of which the first one of a stream is wanted.
-- Uses events_pkey, event_seals_pkey.
SELECT e.tenant_id AS "tenant!", e.aggregate_name AS "aggregate!", e.aggregate_id AS "id!",
       e.aggregate_version AS "version!", e.global_position AS "position!",
       e.event_id AS "event_id!", e.type AS "event_type!", e.version AS "schema_version!",
       e.payload::text AS "payload!", e.occurred_at AS "occurred_at!", e.correlation_id,
       e.causation_id, s.aggregate_version AS "sealed?", s.mac AS "mac?"
FROM eventfabric.events e
LEFT JOIN LATERAL (
    SELECT s.aggregate_version, s.mac
    FROM eventfabric.event_seals s
    WHERE s.tenant_id = e.tenant_id AND s.aggregate_name = e.aggregate_name
      AND s.aggregate_id = e.aggregate_id AND s.aggregate_version < e.aggregate_version
    ORDER BY s.aggregate_version DESC
    LIMIT 1
) s ON true
WHERE e.global_position = ANY ($1::bigint[])
ORDER BY e.tenant_id, e.aggregate_name, e.aggregate_id, e.aggregate_version
