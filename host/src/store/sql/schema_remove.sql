-- Forgets the schema of version $2 of type $1. No row comes back where there is none. Uses
-- event_schemas_pkey.
WITH gone AS (
    DELETE FROM eventfabric.event_schemas
    WHERE event_type = $1 AND schema_version = $2
    RETURNING true AS it
),
next AS (
    UPDATE eventfabric.event_schemas_generation
    SET generation = generation + 1
    WHERE EXISTS (SELECT FROM gone)
)
SELECT it AS "it!" FROM gone
