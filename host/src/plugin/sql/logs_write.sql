-- Keeps lines of plugins: $1 plugins, $2 times, $3 levels, $4 versions, $5 positions, $6 messages, $7 the host.
-- Uses plugin_logs_pkey.
INSERT INTO eventfabric.plugin_logs (plugin_name, at, level, version, positions, message, host)
SELECT l.plugin_name, l.at, l.level, l.version, l.positions, l.message, $7
FROM unnest($1::text[], $2::timestamptz[], $3::smallint[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS l (plugin_name, at, level, version, positions, message, place)
ORDER BY l.place
