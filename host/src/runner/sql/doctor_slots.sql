-- Replication slots for which more than $1 bytes of WAL are kept.
SELECT s.slot_name::text AS "name!", s.active AS "active!", w.kept AS "kept!"
FROM pg_catalog.pg_replication_slots s
CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_wal_lsn_diff(
               CASE WHEN pg_catalog.pg_is_in_recovery()
                    THEN pg_catalog.pg_last_wal_replay_lsn()
                    ELSE pg_catalog.pg_current_wal_lsn() END,
               s.restart_lsn)::bigint AS kept) w
WHERE w.kept > $1
ORDER BY w.kept DESC, s.slot_name
