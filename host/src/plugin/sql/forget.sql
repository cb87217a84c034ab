-- Forgets how far a projection had come, what waited for it and what it was granted, for the next plugin of
-- this name may be another one: $1 its name. Each by its key's beginning.
WITH checkpoints AS (
    DELETE FROM eventfabric.projection_checkpoints WHERE projection_name = $1
),
costs AS (
    DELETE FROM eventfabric.projection_costs WHERE projection_name = $1
),
ranges AS (
    DELETE FROM eventfabric.projection_ranges WHERE projection_name = $1
),
shards AS (
    DELETE FROM eventfabric.projection_shards WHERE projection_name = $1
),
backfills AS (
    DELETE FROM eventfabric.projection_backfills WHERE projection_name = $1
),
config AS (
    DELETE FROM eventfabric.plugin_config WHERE plugin_name = $1
),
logs AS (
    DELETE FROM eventfabric.plugin_logs WHERE plugin_name = $1
),
grants AS (
    DELETE FROM eventfabric.plugin_grants WHERE plugin_name = $1
),
parked AS (
    DELETE FROM eventfabric.projection_parked WHERE projection_name = $1
),
retries AS (
    DELETE FROM eventfabric.projection_retries WHERE projection_name = $1
)
DELETE FROM eventfabric.outbox_dead_letters WHERE projection_name = $1
