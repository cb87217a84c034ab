-- The registered schemas of events, of one type ($1, NULL: of all) and version ($2, NULL: of all).
-- Uses event_schemas_pkey.
SELECT event_type, schema_version, schema AS "schema: Json<Value>", enforced, registered_at, registered_by
FROM eventfabric.event_schemas
WHERE ($1::text IS NULL OR event_type = $1)
  AND ($2::int IS NULL OR schema_version = $2)
ORDER BY event_type, schema_version
