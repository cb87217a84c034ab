-- Notes events that a shard $2 passes: $3 positions, $4 tenants, $5 aggregates, $6 ids.
-- Uses projection_rebuild_open_pkey.
INSERT INTO eventfabric.projection_rebuild_open
       (projection_name, shard, global_position, tenant_id, aggregate_name, aggregate_id)
SELECT $1, $2, e.position, e.tenant_id, e.aggregate_name, e.aggregate_id
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[])
     AS e (position, tenant_id, aggregate_name, aggregate_id)
ON CONFLICT DO NOTHING
