-- Forgets the statements of other plugins that read what is in a schema, and answers them: whether the
-- active version of their plugin uses them as well. Binds: schema, plugin.
WITH lent AS (
    SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1
)
DELETE FROM eventfabric.plugin_statements s
USING eventfabric.plugin_schemas p
WHERE p.schema_name = s.schema_name
  AND p.plugin_name <> $2
  AND EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN lent ON lent.oid = d.refobjid
              WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                AND d.objid = pg_catalog.to_regproc(s.function_name)::oid
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
RETURNING p.plugin_name, s.schema_name, s.sha256, s.statement, s.function_name, s.description,
          s.policy,
          EXISTS (SELECT FROM eventfabric.projections r
                  JOIN eventfabric.plugin_manifests m
                    ON m.plugin_name = r.projection_name AND m.version = r.active_sha256
                  WHERE r.projection_name = p.plugin_name
                    -- One that has stopped can't be broken any more.
                    AND r.state <> 'failed'
                    AND m.sha256 = s.sha256) AS used
