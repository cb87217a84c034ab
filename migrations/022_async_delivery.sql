-- Deliveries in the order of each stream, for the projections that ask for it; dead letters that say
-- all; and async projections that are given the events that were there before them.

ALTER TABLE eventfabric.projection_retries
    ADD COLUMN aggregate_name text,
    ADD COLUMN aggregate_id   text,
    -- Not to be tried, however due: it is behind an earlier event of its stream, or its projection
    -- has not come that far in the log.
    ADD COLUMN held           boolean NOT NULL DEFAULT false;

ALTER TABLE eventfabric.outbox_dead_letters
    ADD COLUMN aggregate_name text,
    ADD COLUMN aggregate_id   text,
    -- poison | fatal | retry | trap; none in letters of the TypeScript library.
    ADD COLUMN error_class    text,
    ADD COLUMN sqlstate       text,
    -- The statement of the plugin that failed, where one did.
    ADD COLUMN failed_sql     text;

UPDATE eventfabric.projection_retries r
SET aggregate_name = e.aggregate_name, aggregate_id = e.aggregate_id
FROM eventfabric.events e
WHERE e.global_position = r.global_position;

UPDATE eventfabric.outbox_dead_letters d
SET aggregate_name = e.aggregate_name, aggregate_id = e.aggregate_id
FROM eventfabric.events e
WHERE e.global_position = d.global_position AND d.projection_name IS NOT NULL;

DROP INDEX eventfabric.projection_retries_due_idx;
CREATE INDEX projection_retries_due_idx
    ON eventfabric.projection_retries (projection_name, next_attempt_at, global_position)
    WHERE NOT held;
CREATE INDEX projection_retries_stream_idx
    ON eventfabric.projection_retries
       (projection_name, tenant_id, aggregate_name, aggregate_id, global_position);
CREATE INDEX projection_retries_held_idx
    ON eventfabric.projection_retries
       (projection_name, tenant_id, aggregate_name, aggregate_id, global_position)
    WHERE held;
CREATE INDEX outbox_dlq_stream_idx
    ON eventfabric.outbox_dead_letters
       (projection_name, tenant_id, aggregate_name, aggregate_id, global_position)
    WHERE projection_name IS NOT NULL;

-- An async projection that is still on its way through the events that were there before it.
CREATE TABLE eventfabric.projection_backfills (
    projection_name text        NOT NULL,
    -- Everything up to here is handled, or put aside.
    last_position   bigint      NOT NULL DEFAULT 0,
    -- Not done before it has come to here: the end of the log when the work began.
    target          bigint,
    started_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projection_backfills_pkey PRIMARY KEY (projection_name)
) WITH (fillfactor = 50);

-- As before; a retry that comes back knows its stream.
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
        -- Two statements: a worker that holds the row of the outbox may leave a retry behind.
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
