-- Has appends checked against the schema of version $2 of type $1, or no longer ($3). No row comes back
-- where there is none. Uses event_schemas_pkey.
WITH changed AS (
    UPDATE eventfabric.event_schemas
    SET enforced = $3
    WHERE event_type = $1 AND schema_version = $2
    RETURNING true AS it
),
next AS (
    UPDATE eventfabric.event_schemas_generation
    SET generation = generation + 1
    WHERE EXISTS (SELECT FROM changed)
)
SELECT it AS "it!" FROM changed
