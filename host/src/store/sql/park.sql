-- Parks events of one tenant for an async projection: $1 projection, $2 tenant, $3 version of the plugin, $4
-- positions, $5 rows of the outbox, $6 topics. One row for all of them.
INSERT INTO eventfabric.projection_parked
       (projection_name, tenant_id, plugin_version, positions, outbox_ids, topics, events, first_position,
        last_position)
SELECT $1, $2, $3, $4, $5, $6, cardinality($4::bigint[]), min(n.position), max(n.position)
FROM unnest($4::bigint[]) AS n (position)
