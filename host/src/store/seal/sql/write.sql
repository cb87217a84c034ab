-- Writes seals: $1 the key's id, $2..$4 streams, $5 versions, $6 sealed versions before them, $7
-- positions, $8 seals.
INSERT INTO eventfabric.event_seals
       (key_id, tenant_id, aggregate_name, aggregate_id, aggregate_version, previous_version,
        global_position, mac)
SELECT $1, s.*
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::bigint[], $8::bytea[]) s
