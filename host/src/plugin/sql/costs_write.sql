-- Keeps what projections have cost a host: $1 the host, then by projection $2 names, $3 versions, $4 events, $5 calls,
-- $6 calls that failed, $7 microseconds of wasm, $8 and of SQL, $9 statements, $10 rows read, $11 rows written,
-- $12 bytes, $13 what events cost by type. Forgets hosts that are gone for an hour. Nobody waits for it to be on disk.
-- Uses projection_costs_pkey, hosts_pkey.
WITH hasty AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
),
forgotten AS (
    DELETE FROM eventfabric.projection_costs c
    WHERE c.noted_at < now() - interval '1 hour' AND c.host_id <> $1
      AND NOT EXISTS (SELECT FROM eventfabric.hosts h WHERE h.host_id = c.host_id)
)
INSERT INTO eventfabric.projection_costs
       (projection_name, host_id, version, events, calls, failed_calls, wasm_us, sql_us, statements, rows_read,
        rows_written, bytes, types)
SELECT g.projection_name, $1, g.version, g.events, g.calls, g.failed_calls, g.wasm_us, g.sql_us, g.statements,
       g.rows_read, g.rows_written, g.bytes, g.types
FROM hasty,
     unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::jsonb[])
         AS g (projection_name, version, events, calls, failed_calls, wasm_us, sql_us, statements, rows_read,
               rows_written, bytes, types)
ON CONFLICT (projection_name, host_id) DO UPDATE
SET version = excluded.version, noted_at = now(), events = excluded.events, calls = excluded.calls,
    failed_calls = excluded.failed_calls, wasm_us = excluded.wasm_us, sql_us = excluded.sql_us,
    statements = excluded.statements, rows_read = excluded.rows_read, rows_written = excluded.rows_written,
    bytes = excluded.bytes, types = excluded.types
