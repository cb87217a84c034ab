-- The version of each stream: the row that an append guards and locks.

CREATE TABLE eventfabric.stream_versions (
    aggregate_name  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    current_version integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stream_versions_pkey PRIMARY KEY (aggregate_name, aggregate_id)
);

INSERT INTO eventfabric.stream_versions (aggregate_name, aggregate_id, current_version)
SELECT aggregate_name, aggregate_id, max(aggregate_version)
FROM eventfabric.events
GROUP BY aggregate_name, aggregate_id;
