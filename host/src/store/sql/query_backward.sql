-- A page of a query, newest first: positions in ($1, $2], $3 how many; then, each NULL for all: $4 tenant,
-- $5 aggregates, $6 aggregate id, versions in [$7, $8], $9 types, times in [$10, $11), $12 correlation,
-- $13 causation, $14 positions, $15 JSON that the payload contains, $16 JSON path that finds something or,
-- where $17 says that it is a predicate, is true, $18 its variables. $19: also dismissed ones, $20: also
-- those that are not.
-- Planned for its parameters each time (plan_cache_mode), so conditions that are NULL vanish. Uses, by
-- what is asked for: events_stream_covering_idx, events_correlation_idx, events_causation_idx,
-- events_occurred_idx, events_dismissed_idx, events_pkey.
SELECT global_position AS "position!", event_id AS "event_id!", tenant_id AS "tenant!",
       aggregate_name AS "aggregate!", aggregate_id AS "aggregate_id!",
       aggregate_version AS "version!", type AS "event_type!", version AS "schema_version!",
       payload::text AS "payload!", occurred_at AS "occurred_at!", correlation_id, causation_id,
       dismissed_at, NULL::text AS topic
FROM eventfabric.events
WHERE global_position > $1 AND global_position <= $2
  AND ($4::text IS NULL OR tenant_id = $4)
  AND ($5::text[] IS NULL OR aggregate_name = ANY ($5))
  AND ($6::text IS NULL OR aggregate_id = $6)
  AND ($7::int IS NULL OR aggregate_version >= $7)
  AND ($8::int IS NULL OR aggregate_version <= $8)
  AND ($9::text[] IS NULL OR type = ANY ($9))
  AND ($10::timestamptz IS NULL OR occurred_at >= $10)
  AND ($11::timestamptz IS NULL OR occurred_at < $11)
  AND ($12::text IS NULL OR correlation_id = $12)
  AND ($13::text IS NULL OR causation_id = $13)
  AND ($14::bigint[] IS NULL OR global_position = ANY ($14))
  AND ($15::text IS NULL OR payload @> $15::text::jsonb)
  AND ($16::text IS NULL OR $17::bool OR $18::text IS NOT NULL
       OR payload @? $16::text::jsonpath)
  AND ($16::text IS NULL OR NOT $17::bool OR $18::text IS NOT NULL
       OR payload @@ $16::text::jsonpath)
  AND ($16::text IS NULL OR $18::text IS NULL
       OR CASE WHEN $17::bool
               THEN jsonb_path_match(payload, $16::text::jsonpath, $18::text::jsonb, true)
               ELSE jsonb_path_exists(payload, $16::text::jsonpath, $18::text::jsonb, true)
          END)
  AND ($19::bool OR dismissed_at IS NULL)
  AND ($20::bool OR dismissed_at IS NOT NULL)
ORDER BY global_position DESC
LIMIT $3
