-- Registers schema $3 for version $2 of type $1, enforced or not ($4), by $5. One that is there is left
-- as it is, but for whether it is enforced; no row comes back where it is another one. Uses
-- event_schemas_pkey.
WITH registered AS (
    INSERT INTO eventfabric.event_schemas AS s
           (event_type, schema_version, schema, enforced, registered_by)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (event_type, schema_version) DO UPDATE
        SET enforced = excluded.enforced
        WHERE s.schema = excluded.schema
    RETURNING true AS it
),
next AS (
    UPDATE eventfabric.event_schemas_generation
    -- By chance, so that no two servers come to the same number for different schemas after a failover.
    SET generation = generation + 1 + (random() * 1000000000)::bigint
    WHERE EXISTS (SELECT FROM registered)
)
SELECT it AS "it!" FROM registered
