-- Fails with EF001 where versions from $4 to $5 of the stream $1, $2, $3 are in a detached partition. Uses
-- event_keys_version_key.
SELECT eventfabric.require_attached($1, $2, $3, $4, $5) AS "attached!"
