-- What the active versions of projections cost each host: $1 a projection, or NULL for all. Uses
-- projection_costs_pkey.
SELECT c.projection_name, c.version, c.noted_at, c.events, c.calls, c.failed_calls, c.wasm_us, c.sql_us, c.statements,
       c.rows_read, c.rows_written, c.bytes, c.types AS "types: Json<Vec<TypeCost>>"
FROM eventfabric.projection_costs c
JOIN eventfabric.projections p ON p.projection_name = c.projection_name AND p.active_sha256 = c.version
WHERE $1::text IS NULL OR c.projection_name = $1
ORDER BY c.projection_name, c.host_id
