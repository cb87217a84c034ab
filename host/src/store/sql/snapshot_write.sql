-- Writes snapshots, sorted by their key (so that two writers never wait for each other in a ring).
-- An older one never replaces a newer one, unless that is newer than its stream; one that is to be
-- made anew is replaced only by what came from the events alone.
--
-- $1..$3 the streams: tenant, aggregate, id
-- $4..$6 version of the aggregate, version of the schema, state
-- $7     made from the events alone, without an earlier snapshot
-- Uses snapshots_pkey and stream_versions_pkey.
WITH given AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::bool[])
         AS g (tenant_id, aggregate_name, aggregate_id, version, schema_version, state, whole)
)
INSERT INTO eventfabric.snapshots AS s
       (tenant_id, aggregate_name, aggregate_id, aggregate_version, snapshot_schema_version, state)
SELECT g.tenant_id, g.aggregate_name, g.aggregate_id, g.version, g.schema_version, g.state::jsonb
FROM given g
ORDER BY g.tenant_id, g.aggregate_name, g.aggregate_id
ON CONFLICT (tenant_id, aggregate_name, aggregate_id) DO UPDATE
    SET aggregate_version = excluded.aggregate_version,
        snapshot_schema_version = excluded.snapshot_schema_version,
        state = excluded.state,
        created_at = now(),
        rebuild_requested_at = NULL
    WHERE (s.rebuild_requested_at IS NULL
           OR EXISTS (SELECT FROM given g
                      WHERE g.tenant_id = s.tenant_id AND g.aggregate_name = s.aggregate_name
                        AND g.aggregate_id = s.aggregate_id AND g.whole))
      AND (s.aggregate_version <= excluded.aggregate_version
           OR s.aggregate_version > (SELECT v.current_version
                                     FROM eventfabric.stream_versions v
                                     WHERE v.tenant_id = s.tenant_id
                                       AND v.aggregate_name = s.aggregate_name
                                       AND v.aggregate_id = s.aggregate_id))
