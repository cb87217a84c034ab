-- Whether events are in the log exactly as given: $1 ids, $2 types, $3 schema versions, $4 payloads,
-- $5 times (NULL: any), $6 correlation ids, $7 causation ids; and none has the id $8. Uses
-- events_event_id_key.
SELECT count(*) = cardinality($1::uuid[])
       AND NOT EXISTS (SELECT FROM eventfabric.events WHERE event_id = $8) AS "same!"
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
     AS n (event_id, type, version, payload, occurred_at, correlation_id, causation_id)
JOIN eventfabric.events e ON e.event_id = n.event_id
WHERE e.type = n.type AND e.version = n.version AND e.payload = n.payload::jsonb
  AND (n.occurred_at IS NULL OR e.occurred_at = n.occurred_at)
  AND e.correlation_id IS NOT DISTINCT FROM n.correlation_id
  AND e.causation_id IS NOT DISTINCT FROM n.causation_id
