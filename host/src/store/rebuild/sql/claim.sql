-- Makes this session the only one that rebuilds a projection, until it ends.
SELECT pg_catalog.pg_try_advisory_lock(
           pg_catalog.hashtextextended('eventfabric rebuild ' || $1, 0)) AS "claimed!"
