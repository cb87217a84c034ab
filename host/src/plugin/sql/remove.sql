-- Takes a projection out of the registry: $1 its name, $2 by whom. The sum of generations of its mode, by
-- which every host sees a change, must not become one that it was before. Uses projections_pkey.
WITH gone AS (
    DELETE FROM eventfabric.projections WHERE projection_name = $1
    RETURNING mode, generation, active_sha256
),
passed_on AS (
    UPDATE eventfabric.projections p
    SET generation = p.generation + gone.generation + 1
    FROM gone
    WHERE p.projection_name = (SELECT min(o.projection_name) FROM eventfabric.projections o
                               WHERE o.mode = gone.mode AND o.projection_name <> $1)
)
INSERT INTO eventfabric.plugin_deployments
       (plugin_name, sha256, action, replaced_sha256, generation, log_position, by)
SELECT $1, gone.active_sha256, 'remove', gone.active_sha256, gone.generation,
       (SELECT coalesce(max(global_position), 0) FROM eventfabric.events), $2
FROM gone
RETURNING deployment_id
