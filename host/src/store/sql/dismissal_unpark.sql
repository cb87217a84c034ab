-- Makes retries of what is parked with these events ($1 positions), so that they can be taken out of it. It is done
-- before the log is written to, as dismissal_wait.sql is. The positions are compared last: it is what costs most.
SELECT eventfabric.unpark(array_agg(p.id)) AS "events!"
FROM (SELECT id
      FROM eventfabric.projection_parked
      WHERE last_position >= (SELECT min(n) FROM unnest($1::bigint[]) AS n)
        AND first_position <= (SELECT max(n) FROM unnest($1::bigint[]) AS n)
        AND positions && $1::bigint[]
      ORDER BY id
      FOR UPDATE) p
