-- The log: the events of all streams in one order.

CREATE TABLE eventfabric.events (
    global_position   bigserial   PRIMARY KEY,
    event_id          uuid        NOT NULL UNIQUE,
    aggregate_name    text        NOT NULL,
    aggregate_id      text        NOT NULL,
    aggregate_version integer     NOT NULL,
    type              text        NOT NULL,
    version           integer     NOT NULL,
    payload           jsonb       NOT NULL,
    occurred_at       timestamptz NOT NULL DEFAULT now(),
    dismissed_at      timestamptz,
    dismissed_reason  text,
    dismissed_by      text,
    correlation_id    text,
    causation_id      text,
    CONSTRAINT events_aggregate_version_key
        UNIQUE (aggregate_name, aggregate_id, aggregate_version)
);

CREATE INDEX events_global_idx ON eventfabric.events (global_position);
