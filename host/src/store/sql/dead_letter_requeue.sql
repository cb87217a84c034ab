-- Gives dead letters back: $1 ids, $2 projection, $3 tenant, $4 older than this one, $5 class
-- of the error, positions from $6 to $7, given up from $8 on and before $9, each NULL for all.
-- A letter that names its projection becomes a retry of that one; one that names none (it came from the
-- TypeScript library) goes back to the outbox, for all. Letters of dismissed events stay. What is of
-- one stream is due at the same time, and so is tried in the order of positions.
WITH letters AS (
    DELETE FROM eventfabric.outbox_dead_letters d
    WHERE ($1::bigint[] IS NULL OR d.id = ANY ($1))
      AND ($2::text IS NULL OR d.projection_name = $2)
      AND ($3::text IS NULL OR d.tenant_id = $3)
      AND ($4::bigint IS NULL OR d.id < $4)
      AND ($5::text IS NULL OR d.error_class = $5)
      AND ($6::bigint IS NULL OR d.global_position >= $6)
      AND ($7::bigint IS NULL OR d.global_position <= $7)
      AND ($8::timestamptz IS NULL OR d.dead_lettered_at >= $8)
      AND ($9::timestamptz IS NULL OR d.dead_lettered_at < $9)
      AND NOT EXISTS (SELECT FROM eventfabric.events e
                      WHERE e.global_position = d.global_position
                        AND e.dismissed_at IS NOT NULL)
    RETURNING *
),
retried AS (
    INSERT INTO eventfabric.projection_retries
           (projection_name, global_position, tenant_id, aggregate_name, aggregate_id, outbox_id,
            topic, first_failed_at, last_error, plugin_version)
    SELECT DISTINCT ON (projection_name, global_position)
           projection_name, global_position, tenant_id, aggregate_name, aggregate_id, outbox_id, topic,
           coalesce(first_failed_at, now()), last_error, plugin_version
    FROM letters
    WHERE projection_name IS NOT NULL
    ORDER BY projection_name, global_position, id DESC
    ON CONFLICT (projection_name, global_position) DO UPDATE
        SET attempts = 0, next_attempt_at = now()
    RETURNING 1
),
queued AS (
    INSERT INTO eventfabric.outbox (global_position, topic, tenant_id)
    SELECT DISTINCT ON (global_position) global_position, topic, tenant_id
    FROM letters
    WHERE projection_name IS NULL
    ON CONFLICT (global_position) DO UPDATE
        SET dead_lettered_at = NULL, dead_letter_reason = NULL, locked_at = NULL, locked_by = NULL,
            attempts = 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM retried) + (SELECT count(*) FROM queued) AS "requeued!"
