-- Holds the retries of a projection that stand behind others of their stream: $1 projection, $2 first
-- positions to hold, $3 tenants, $4 aggregates, $5 their ids. Uses projection_retries_stream_idx.
UPDATE eventfabric.projection_retries r
SET held = true
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS g (position, tenant, aggregate, id)
WHERE r.projection_name = $1 AND r.tenant_id = g.tenant AND r.aggregate_name = g.aggregate
  AND r.aggregate_id = g.id AND r.global_position >= g.position AND NOT r.held
