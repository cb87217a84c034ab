-- Those of the events $2 to $5 (positions, tenants, aggregates, ids) before which an event of the same
-- stream waits, for a projection $1 that keeps the order of streams. What was given up holds up nobody.
-- Uses projection_rebuild_open_stream_idx, outbox_dlq_projection_idx.
SELECT DISTINCT e.position AS "position!"
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
     AS e (position, tenant_id, aggregate_name, aggregate_id)
JOIN eventfabric.projection_rebuild_open o
     ON o.projection_name = $1
    AND o.tenant_id = e.tenant_id
    AND o.aggregate_name = e.aggregate_name
    AND o.aggregate_id = e.aggregate_id
    AND o.global_position < e.position
WHERE NOT EXISTS (SELECT FROM eventfabric.outbox_dead_letters l
                  WHERE (l.projection_name = $1 OR l.projection_name IS NULL)
                    AND l.global_position = o.global_position)
