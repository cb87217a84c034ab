-- How many events a query finds, at most $3 (NULL: all). The other parameters are those of
-- query_forward.sql, and so are the indexes.
SELECT count(*) AS "count!"
FROM (SELECT FROM eventfabric.events
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
LIMIT $3::bigint) matching
