-- Says that a host is there, forgets those that have been silent for a minute, and tells which ones are
-- there: $1 id, $2 name, $3 version, $4 seconds after which a silent one is gone, $5 the relays that it has the settings
-- of. Nobody waits for it to be on disk. Uses hosts_pkey.
WITH hasty AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
),
forgotten AS (
    DELETE FROM eventfabric.hosts h
    WHERE h.seen_at < now() - interval '1 minute' AND h.host_id <> $1
),
beat AS (
    INSERT INTO eventfabric.hosts (host_id, name, version, relays, parks)
    SELECT $1, $2, $3, $5::text[], true FROM hasty
    ON CONFLICT (host_id) DO UPDATE SET seen_at = now()
)
SELECT h.host_id, h.relays, h.parks
FROM eventfabric.hosts h
WHERE h.seen_at > now() - make_interval(secs => $4::float8)
