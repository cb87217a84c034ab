-- Whether a version is kept: $1 plugin, $2 SHA-256. It is not removed before the transaction ends. Uses
-- plugin_versions_pkey.
SELECT FROM eventfabric.plugin_versions WHERE plugin_name = $1 AND sha256 = $2 FOR KEY SHARE
