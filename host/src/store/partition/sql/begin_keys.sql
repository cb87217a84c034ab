-- From now on events write their keys: $1 positions in a partition.
SELECT eventfabric.begin_keys($1)::text AS done
