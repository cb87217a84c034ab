-- Plugins that answer events with events.

-- append: to streams of one aggregate, which the target names.
ALTER TABLE eventfabric.plugin_grants
    DROP CONSTRAINT plugin_grants_kind_check,
    ADD CONSTRAINT plugin_grants_kind_check
        CHECK (kind IN ('read', 'call', 'call-definer', 'append'));

-- How long the chain of causes is that led to an event, where a plugin has appended it: 1 for the answer
-- to an event that none has. Other events have no row here.
CREATE TABLE eventfabric.event_chains (
    global_position bigint  NOT NULL,
    length          integer NOT NULL CHECK (length > 0),
    CONSTRAINT event_chains_pkey PRIMARY KEY (global_position)
);
