-- How many settings a plugin has: $1 its name. Uses plugin_config_pkey.
SELECT count(*) AS "count!" FROM eventfabric.plugin_config WHERE plugin_name = $1
