-- Events that wait for one async projection which can't have them now (it is paused, has stopped, or fails again and
-- again), a batch in a row. A retry each would cost the queue that it shares with others more than handling it.
CREATE TABLE eventfabric.projection_parked (
    id              bigint      GENERATED ALWAYS AS IDENTITY,
    projection_name text        NOT NULL,
    tenant_id       text        NOT NULL,
    -- The least and the greatest of the positions.
    first_position  bigint      NOT NULL,
    last_position   bigint      NOT NULL,
    -- How many they are.
    events          integer     NOT NULL,
    -- Of each event: its place in the log, the row of the outbox that it came from, its topic.
    positions       bigint[]    NOT NULL,
    outbox_ids      bigint[]    NOT NULL,
    topics          text[]      NOT NULL,
    plugin_version  text,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_parked_pkey PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX projection_parked_projection_idx ON eventfabric.projection_parked (projection_name, id);

-- Hosts that know of it; while there is one that does not, nothing is parked.
ALTER TABLE eventfabric.hosts ADD COLUMN parks boolean NOT NULL DEFAULT false;

-- Makes retries of the events in these rows, and nothing of those that are not in the log any more. Answers how many
-- they were.
CREATE FUNCTION eventfabric.unpark(ids bigint[]) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog
AS $$
    WITH gone AS (
        DELETE FROM eventfabric.projection_parked p WHERE p.id = ANY (ids) RETURNING p.*
    ),
    retried AS (
        INSERT INTO eventfabric.projection_retries
               (projection_name, plugin_version, outbox_id, global_position, tenant_id, aggregate_name,
                aggregate_id, topic, first_failed_at)
        SELECT g.projection_name, g.plugin_version, n.outbox_id, e.global_position, e.tenant_id,
               e.aggregate_name, e.aggregate_id, n.topic, g.parked_at
        FROM gone g
        CROSS JOIN LATERAL unnest(g.positions, g.outbox_ids, g.topics)
                           AS n (position, outbox_id, topic)
        JOIN eventfabric.events e ON e.global_position = n.position
        ON CONFLICT (projection_name, global_position) DO NOTHING
    )
    SELECT coalesce(sum(g.events), 0)::bigint FROM gone g
$$;
REVOKE ALL ON FUNCTION eventfabric.unpark(bigint[]) FROM PUBLIC;

-- As before; what is parked with the event becomes retries first.
CREATE OR REPLACE FUNCTION eventfabric.note_dismissal() RETURNS trigger
LANGUAGE plpgsql
-- The program that dismisses need not have rights on these tables.
SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
    -- The state of the aggregate changes from this version on.
    DELETE FROM eventfabric.snapshots s
    WHERE s.tenant_id = NEW.tenant_id AND s.aggregate_name = NEW.aggregate_name
      AND s.aggregate_id = NEW.aggregate_id AND s.aggregate_version >= NEW.aggregate_version;

    IF OLD.dismissed_at IS NOT NULL THEN
        UPDATE eventfabric.dismissals
        SET undone_at = now(), undone_by = session_user
        WHERE global_position = NEW.global_position AND undone_at IS NULL;
    END IF;
    IF NEW.dismissed_at IS NOT NULL THEN
        INSERT INTO eventfabric.dismissals
               (global_position, tenant_id, reason, dismissed_by, dismissed_at)
        VALUES (NEW.global_position, NEW.tenant_id, NEW.dismissed_reason,
                coalesce(NEW.dismissed_by, session_user), NEW.dismissed_at);
    END IF;

    IF OLD.dismissed_at IS NULL THEN
        -- One after the other: a worker that holds the row of the outbox may leave it parked, or a retry.
        WITH queued AS (
            DELETE FROM eventfabric.outbox
            WHERE global_position = NEW.global_position AND dead_lettered_at IS NULL
            RETURNING *
        )
        INSERT INTO eventfabric.dismissed_deliveries
               (global_position, outbox_id, tenant_id, topic, attempts, last_error, since)
        SELECT global_position, id, tenant_id, topic, attempts, last_error, created_at
        FROM queued
        ON CONFLICT DO NOTHING;

        PERFORM eventfabric.unpark(array_agg(p.id))
        FROM (SELECT id FROM eventfabric.projection_parked
              WHERE NEW.global_position BETWEEN first_position AND last_position
                AND NEW.global_position = ANY (positions)
              ORDER BY id
              FOR UPDATE) p;

        WITH retried AS (
            DELETE FROM eventfabric.projection_retries
            WHERE global_position = NEW.global_position
            RETURNING *
        )
        INSERT INTO eventfabric.dismissed_deliveries
               (global_position, projection_name, outbox_id, tenant_id, topic, attempts,
                last_error, since, plugin_version)
        SELECT global_position, projection_name, outbox_id, tenant_id, topic, attempts, last_error,
               first_failed_at, plugin_version
        FROM retried
        ON CONFLICT DO NOTHING;
    ELSIF NEW.dismissed_at IS NULL THEN
        -- An id of the outbox is never given twice, so the row gets back its place in the queue.
        INSERT INTO eventfabric.outbox
               (id, global_position, topic, tenant_id, created_at, attempts, last_error)
        SELECT outbox_id, global_position, topic, tenant_id, since, attempts, last_error
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name = ''
        ON CONFLICT DO NOTHING;

        INSERT INTO eventfabric.projection_retries
               (projection_name, global_position, tenant_id, aggregate_name, aggregate_id,
                outbox_id, topic, attempts, first_failed_at, last_error, plugin_version)
        SELECT projection_name, global_position, tenant_id, NEW.aggregate_name, NEW.aggregate_id,
               outbox_id, topic, attempts, since, last_error, plugin_version
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name <> ''
        ON CONFLICT DO NOTHING;

        DELETE FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position;
    END IF;
    RETURN NULL;
END
$$;
