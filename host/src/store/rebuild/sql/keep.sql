-- Notes which events tables hold that a rebuild replaces and that are kept: $1 projection, $2 the version
-- whose tables they are, $3 they have come to this position, $4 events beyond it. The rebuild knows which
-- ones before it they lack. Uses projection_rebuilds_pkey, projection_rebuild_open_pkey.
WITH kept AS (
    INSERT INTO eventfabric.projection_kept
           (projection_name, plugin_version, last_global_position, beyond, wants)
    SELECT projection_name, $2, $3, $4, wants - 'also'
    FROM eventfabric.projection_rebuilds
    WHERE projection_name = $1
    RETURNING projection_name
)
INSERT INTO eventfabric.projection_kept_open
       (projection_name, global_position, tenant_id, aggregate_name, aggregate_id)
SELECT projection_name, o.global_position, o.tenant_id, o.aggregate_name, o.aggregate_id
FROM kept
JOIN eventfabric.projection_rebuild_open o USING (projection_name)
