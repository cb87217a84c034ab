-- Seals: who holds the key can tell whether events were changed, taken out or put in by someone who
-- does not. Off unless a writer is given a key; events of other writers have none.

-- The seal of an event covers the event as it is stored and the seal before it in its stream.
CREATE TABLE eventfabric.event_seals (
    aggregate_version integer NOT NULL,
    -- The sealed event before this one in its stream; 0 where there is none.
    previous_version  integer NOT NULL,
    global_position   bigint  NOT NULL,
    tenant_id         text    NOT NULL,
    aggregate_name    text    NOT NULL,
    aggregate_id      text    NOT NULL,
    -- Which of the operator's keys.
    key_id            text    NOT NULL,
    mac               bytea   NOT NULL CHECK (octet_length(mac) = 32),
    CONSTRAINT event_seals_pkey
        PRIMARY KEY (tenant_id, aggregate_name, aggregate_id, aggregate_version)
);

CREATE TRIGGER event_seals_append_only
    BEFORE UPDATE OR DELETE ON eventfabric.event_seals
    FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events();

CREATE TRIGGER event_seals_no_truncate
    BEFORE TRUNCATE ON eventfabric.event_seals
    FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();

-- Only the log's own triggers write keys.
REVOKE ALL ON FUNCTION eventfabric.key_events() FROM PUBLIC;
