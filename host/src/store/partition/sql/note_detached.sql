-- From now on loads that need these events fail, instead of going without them.
INSERT INTO eventfabric.detached_partitions (name, from_position, to_position)
VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET detached_at = now()
