-- The settings of a plugin: $1 its name. Uses plugin_config_pkey.
SELECT key, value, set_at, set_by FROM eventfabric.plugin_config WHERE plugin_name = $1 ORDER BY key
