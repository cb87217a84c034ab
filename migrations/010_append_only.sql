-- The log is append-only. The one thing that may change in an event is its dismissal; whoever
-- maintains the log by hand says so: SET LOCAL eventfabric.maintenance = 'on'.

CREATE FUNCTION eventfabric.guard_events() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    IF current_setting('eventfabric.maintenance', true) = 'on' THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE'
       AND (to_jsonb(NEW) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])
         = (to_jsonb(OLD) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the log of events is append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Dismiss the event instead, or SET LOCAL eventfabric.maintenance = ''on'' in the transaction of the maintenance.';
END
$$;

CREATE TRIGGER events_append_only
    BEFORE UPDATE OR DELETE ON eventfabric.events
    FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events();

CREATE FUNCTION eventfabric.guard_events_truncate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    IF current_setting('eventfabric.maintenance', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the log of events is append-only: TRUNCATE refused'
        USING ERRCODE = 'restrict_violation',
              HINT = 'SET LOCAL eventfabric.maintenance = ''on'' in the transaction of the maintenance.';
END
$$;

CREATE TRIGGER events_no_truncate
    BEFORE TRUNCATE ON eventfabric.events
    FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();
