-- Notes a failed attempt: $3 attempts so far, $4 seconds until the next one, $5 error, $6 version
-- of the plugin. Uses projection_retries_pkey.
UPDATE eventfabric.projection_retries
SET attempts = $3, next_attempt_at = now() + make_interval(secs => $4::float8), last_error = $5,
    plugin_version = $6
WHERE projection_name = $1 AND global_position = $2
