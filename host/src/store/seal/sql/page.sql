-- Events of a stream and their seals side by side, versions after $4, in their order, up to $5
-- versions; either may be missing. Of several events of one version that with the seal's position
-- comes first. Uses events_stream_covering_idx, event_seals_pkey.
WITH versions AS (
    SELECT v.version
    FROM ((SELECT aggregate_version AS version FROM eventfabric.events
           WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
             AND aggregate_version > $4
           ORDER BY aggregate_version LIMIT $5)
          UNION
          (SELECT aggregate_version FROM eventfabric.event_seals
           WHERE tenant_id = $1 AND aggregate_name = $2 AND aggregate_id = $3
             AND aggregate_version > $4
           ORDER BY aggregate_version LIMIT $5)) v
    ORDER BY v.version
    LIMIT $5
)
SELECT v.version AS "version!", e.global_position AS "position?", e.event_id AS "event_id?",
       e.type AS "event_type?", e.version AS "schema_version?", e.payload::text AS "payload?",
       e.occurred_at AS "occurred_at?", e.correlation_id, e.causation_id,
       s.previous_version AS "previous_version?", s.global_position AS "sealed_position?",
       s.key_id AS "key_id?", s.mac AS "mac?",
       (e.global_position IS NULL
        AND EXISTS (SELECT FROM eventfabric.detached_partitions d
                    WHERE s.global_position >= coalesce(d.from_position, 0)
                      AND s.global_position < d.to_position)) AS "detached!"
FROM versions v
LEFT JOIN eventfabric.events e
       ON e.tenant_id = $1 AND e.aggregate_name = $2 AND e.aggregate_id = $3
      AND e.aggregate_version = v.version
LEFT JOIN eventfabric.event_seals s
       ON s.tenant_id = $1 AND s.aggregate_name = $2 AND s.aggregate_id = $3
      AND s.aggregate_version = v.version
ORDER BY v.version, e.global_position IS DISTINCT FROM s.global_position, e.global_position
