-- The version whose tables are kept of a projection. Uses projection_kept_pkey.
SELECT plugin_version AS version FROM eventfabric.projection_kept WHERE projection_name = $1
