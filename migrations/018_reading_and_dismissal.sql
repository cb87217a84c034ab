-- Reading the log by what its events hold, and dismissing events with a record of who did it.

-- Events that belong together, and what an event has caused, in the order of the log. Most events
-- of most programs name neither: only those that do are in these indexes.
CREATE INDEX events_correlation_idx ON eventfabric.events (correlation_id, global_position)
    WHERE correlation_id IS NOT NULL;
CREATE INDEX events_causation_idx ON eventfabric.events (causation_id, global_position)
    WHERE causation_id IS NOT NULL;
-- Times grow with positions, but for events that were imported: a few bytes for many pages.
CREATE INDEX events_occurred_idx ON eventfabric.events USING brin (occurred_at)
    WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX events_dismissed_idx ON eventfabric.events (global_position)
    WHERE dismissed_at IS NOT NULL;

-- Every dismissal that there was, whoever made it. The one that stands has not been undone.
CREATE TABLE eventfabric.dismissals (
    id              bigserial   NOT NULL,
    global_position bigint      NOT NULL,
    tenant_id       text        NOT NULL,
    reason          text,
    dismissed_by    text,
    dismissed_at    timestamptz NOT NULL,
    undone_by       text,
    undone_at       timestamptz,
    CONSTRAINT dismissals_pkey PRIMARY KEY (id)
);

CREATE INDEX dismissals_position_idx ON eventfabric.dismissals (global_position, id);

INSERT INTO eventfabric.dismissals
       (global_position, tenant_id, reason, dismissed_by, dismissed_at)
SELECT global_position, tenant_id, dismissed_reason, dismissed_by, dismissed_at
FROM eventfabric.events
WHERE dismissed_at IS NOT NULL
ORDER BY dismissed_at, global_position;

-- What was to be delivered of a dismissed event: a row of the outbox (without a projection: for
-- all), or what one projection was to try again. It goes back when the dismissal is undone.
CREATE TABLE eventfabric.dismissed_deliveries (
    global_position bigint      NOT NULL,
    projection_name text        NOT NULL DEFAULT '',
    outbox_id       bigint      NOT NULL,
    tenant_id       text        NOT NULL,
    topic           text,
    attempts        integer     NOT NULL,
    last_error      text,
    -- When the row of the outbox was made, or when the projection failed first.
    since           timestamptz NOT NULL,
    plugin_version  text,
    CONSTRAINT dismissed_deliveries_pkey PRIMARY KEY (global_position, projection_name)
);

-- Everything that goes with a dismissal or its end, whichever program makes it.
CREATE FUNCTION eventfabric.note_dismissal() RETURNS trigger
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
               (projection_name, global_position, tenant_id, outbox_id, topic, attempts,
                first_failed_at, last_error, plugin_version)
        SELECT projection_name, global_position, tenant_id, outbox_id, topic, attempts, since,
               last_error, plugin_version
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name <> ''
        ON CONFLICT DO NOTHING;

        DELETE FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION eventfabric.note_dismissal() FROM PUBLIC;

CREATE TRIGGER events_note_dismissal
    AFTER UPDATE OF dismissed_at ON eventfabric.events
    FOR EACH ROW
    WHEN (OLD.dismissed_at IS DISTINCT FROM NEW.dismissed_at)
    EXECUTE FUNCTION eventfabric.note_dismissal();

-- As before, but text against text: as JSON, 1.0 and 1.00 are the same.
CREATE OR REPLACE FUNCTION eventfabric.guard_events() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    IF current_setting('eventfabric.maintenance', true) = 'on' THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE'
       AND (to_jsonb(NEW) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])::text
         = (to_jsonb(OLD) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])::text
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the log of events is append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Dismiss the event instead, or SET LOCAL eventfabric.maintenance = ''on'' in the transaction of the maintenance.';
END
$$;
