-- Changes settings of a plugin $1: $2 keys and $3 their values, $4 keys that go, $5 all others go, too, $6 by
-- whom. Answers what is not as it was. Uses plugin_config_pkey.
WITH given AS (
    SELECT key, value FROM unnest($2::text[], $3::text[]) AS g (key, value)
),
gone AS (
    DELETE FROM eventfabric.plugin_config c
    WHERE c.plugin_name = $1
      AND (c.key = ANY ($4::text[]) OR $5 AND c.key NOT IN (SELECT key FROM given))
    RETURNING key
),
put AS (
    INSERT INTO eventfabric.plugin_config AS c (plugin_name, key, value, set_by)
    SELECT $1, key, value, $6 FROM given
    ON CONFLICT (plugin_name, key) DO UPDATE
        SET value = excluded.value, set_at = now(), set_by = excluded.set_by
        WHERE c.value <> excluded.value
    RETURNING key
)
SELECT 'unset ' || key AS "change!" FROM gone
UNION ALL
SELECT 'set ' || key FROM put
ORDER BY 1
