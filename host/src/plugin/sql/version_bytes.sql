-- The bytes of a version. Uses plugin_versions_pkey.
SELECT bytes FROM eventfabric.plugin_versions WHERE plugin_name = $1 AND sha256 = $2
