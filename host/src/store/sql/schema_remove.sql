-- Forgets the schema of version $2 of type $1. No row comes back where there is none. Uses
-- event_schemas_pkey.
WITH gone AS (
    DELETE FROM eventfabric.event_schemas
    WHERE event_type = $1 AND schema_version = $2
    RETURNING true AS it
),
next AS (
    UPDATE eventfabric.event_schemas_generation
    -- By chance, so that no two servers come to the same number for different schemas after a failover.
    SET generation = generation + 1 + (random() * 1000000000)::bigint
    WHERE EXISTS (SELECT FROM gone)
)
SELECT it AS "it!" FROM gone
