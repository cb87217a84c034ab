-- The first of the last $2 events of the types $1 (none: all), among the last 100,000 positions.
-- Uses events_pkey.
SELECT min(global_position) AS first
FROM (SELECT global_position
      FROM eventfabric.events
      WHERE (cardinality($1::text[]) = 0 OR type = ANY ($1))
        AND global_position > (SELECT max(global_position) - 100000 FROM eventfabric.events)
        AND dismissed_at IS NULL
      ORDER BY global_position DESC
      LIMIT $2) last
