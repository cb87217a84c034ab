-- Lines of a plugin: $1 its name, $2 those after this one (NULL: the last ones), $3 of this level and above, $4
-- how many. Uses plugin_logs_plugin_idx.
SELECT id AS "id!", at AS "at!", level AS "level!", version AS "version!", positions AS "positions!",
       message AS "message!", host AS "host!"
FROM (
    (SELECT log_id AS id, at, level, version, positions, message, host
     FROM eventfabric.plugin_logs
     WHERE plugin_name = $1 AND level >= $3 AND $2::bigint IS NULL
     ORDER BY log_id DESC
     LIMIT $4)
    UNION ALL
    (SELECT log_id, at, level, version, positions, message, host
     FROM eventfabric.plugin_logs
     WHERE plugin_name = $1 AND level >= $3 AND log_id > $2::bigint
     ORDER BY log_id
     LIMIT $4)
) lines
ORDER BY id
