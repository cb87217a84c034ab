-- The record of dismissals, newest first: $1 positions, $2 tenant, $3 numbers before this one, each NULL
-- for all; $4 those that were undone, too; $5 how many. Uses dismissals_pkey, dismissals_position_idx.
SELECT d.id AS number, d.global_position AS position, d.tenant_id AS tenant,
       e.event_id AS "event_id?", e.aggregate_name AS "aggregate?",
       e.aggregate_id AS "aggregate_id?", e.aggregate_version AS "version?",
       e.type AS "event_type?", d.reason, d.dismissed_by, d.dismissed_at, d.undone_by, d.undone_at,
       (SELECT count(*) FROM eventfabric.dismissed_deliveries h
        WHERE h.global_position = d.global_position AND d.undone_at IS NULL) AS "held!"
FROM eventfabric.dismissals d
LEFT JOIN eventfabric.events e USING (global_position)
WHERE ($1::bigint[] IS NULL OR d.global_position = ANY ($1))
  AND ($2::text IS NULL OR d.tenant_id = $2)
  AND ($3::bigint IS NULL OR d.id < $3)
  AND ($4::bool OR d.undone_at IS NULL)
ORDER BY d.id DESC
LIMIT $5
