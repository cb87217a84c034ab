-- Whether each projection has something to do, and a text that changes whenever it does some of it:
-- $1 tenants and $2 the last position of each, as the host knows them. Uses projection_checkpoints_pkey,
-- projection_shards_pkey, projection_retries_due_idx, projection_parked_projection_idx.
SELECT p.projection_name AS "name!", p.mode AS "mode!",
       CASE p.mode
           WHEN 'catch-up' THEN EXISTS (
               SELECT
               FROM unnest($1::text[], $2::bigint[]) AS t (tenant_id, last)
               LEFT JOIN eventfabric.projection_positions k
                      ON k.projection_name = p.projection_name AND k.tenant_id = t.tenant_id
               WHERE t.last > greatest(coalesce(k.last_global_position, 0), p.starts_after))
           ELSE EXISTS (
               SELECT FROM eventfabric.projection_retries r
               WHERE r.projection_name = p.projection_name AND NOT r.held
                 AND r.next_attempt_at <= now())
               OR EXISTS (
               SELECT FROM eventfabric.projection_parked k
               WHERE k.projection_name = p.projection_name)
       END AS "has_work!",
       CASE p.mode
           WHEN 'catch-up' THEN (
               SELECT concat_ws(' ', sum(k.last_global_position), max(k.updated_at))
               FROM eventfabric.projection_positions k
               WHERE k.projection_name = p.projection_name)
           ELSE concat_ws(' ', (
               SELECT concat_ws(' ', r.next_attempt_at, r.global_position)
               FROM eventfabric.projection_retries r
               WHERE r.projection_name = p.projection_name AND NOT r.held
               ORDER BY r.next_attempt_at
               LIMIT 1), (
               SELECT min(k.id)
               FROM eventfabric.projection_parked k
               WHERE k.projection_name = p.projection_name))
       END AS place,
       CASE WHEN p.state = 'failed' THEN coalesce(p.last_error, 'unknown') END AS failed,
       p.paused_at, p.paused_by, p.pause_reason
FROM eventfabric.projections p
WHERE p.mode <> 'inline'
ORDER BY p.projection_name
