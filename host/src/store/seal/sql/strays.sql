-- Streams that have events or seals and no row that says their version, $1 at most. Reads all events.
SELECT tenant_id AS "tenant!", aggregate_name AS "aggregate!", aggregate_id AS "id!"
FROM (SELECT tenant_id, aggregate_name, aggregate_id FROM eventfabric.events
      UNION
      SELECT tenant_id, aggregate_name, aggregate_id FROM eventfabric.event_seals) s
WHERE NOT EXISTS (SELECT FROM eventfabric.stream_versions v
                  WHERE v.tenant_id = s.tenant_id AND v.aggregate_name = s.aggregate_name
                    AND v.aggregate_id = s.aggregate_id)
ORDER BY 1, 2, 3
LIMIT $1
