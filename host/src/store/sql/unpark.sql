-- Makes retries of what is parked for a projection ($1), of so many rows at most ($2), the oldest first; what another
-- transaction has in hand is passed over. Answers how many events they were. Uses projection_parked_projection_idx.
SELECT eventfabric.unpark(array_agg(p.id)) AS "events!"
FROM (SELECT id
      FROM eventfabric.projection_parked
      WHERE projection_name = $1
      ORDER BY id
      LIMIT $2
      FOR UPDATE SKIP LOCKED) p
