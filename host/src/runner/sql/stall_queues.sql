-- Where the log ends, and the oldest row of the outbox that somebody is to deliver. Uses events_pkey,
-- outbox_pkey.
SELECT (SELECT coalesce(max(global_position), 0) FROM eventfabric.events) AS "visible!",
       (SELECT min(id) FROM eventfabric.outbox
        WHERE dead_lettered_at IS NULL
          AND EXISTS (SELECT FROM eventfabric.projections WHERE mode = 'async')) AS oldest
