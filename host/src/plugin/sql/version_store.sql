-- Keeps a version: $1 plugin, $2 SHA-256, $3 bytes, $4 description, $5 imports, $6 by whom,
-- $7 from where. Uses plugin_versions_pkey.
INSERT INTO eventfabric.plugin_versions
       (plugin_name, sha256, bytes, description, imports, deployed_by, source)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (plugin_name, sha256) DO NOTHING
