-- The position before the first event of that time or later; the greatest one where there is none.
-- Reads the log.
SELECT coalesce((SELECT min(global_position) - 1 FROM eventfabric.events WHERE occurred_at >= $1),
                (SELECT max(global_position) FROM eventfabric.events), 0) AS "position!"
