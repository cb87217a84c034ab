-- Reading a stream touches one index.

CREATE INDEX events_stream_covering_idx
    ON eventfabric.events (aggregate_name, aggregate_id, aggregate_version);
