-- What waits in the outbox, by topic: $1 tenant (NULL for all). Claims are those of the TypeScript
-- library's workers; ours leave no mark.
SELECT topic, count(*) AS "rows!", count(locked_at) AS "claimed!", min(created_at) AS "oldest_at!",
       greatest(extract(epoch FROM now() - min(created_at))::float8, 0) AS "oldest_seconds!"
FROM eventfabric.outbox
WHERE dead_lettered_at IS NULL AND ($1::text IS NULL OR tenant_id = $1)
GROUP BY topic
ORDER BY topic NULLS FIRST
