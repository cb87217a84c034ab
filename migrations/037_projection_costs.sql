-- What projections cost each host, written by the host now and then.

CREATE TABLE eventfabric.projection_costs (
    projection_name text        NOT NULL,
    -- One that is gone is forgotten after an hour.
    host_id         uuid        NOT NULL,
    -- The SHA-256 that all the numbers are of.
    version         text        NOT NULL,
    noted_at        timestamptz NOT NULL DEFAULT now(),
    events          bigint      NOT NULL,
    calls           bigint      NOT NULL,
    failed_calls    bigint      NOT NULL,
    wasm_us         bigint      NOT NULL,
    sql_us          bigint      NOT NULL,
    statements      bigint      NOT NULL,
    rows_read       bigint      NOT NULL,
    rows_written    bigint      NOT NULL,
    bytes           bigint      NOT NULL,
    -- What an event of each type costs, in part an estimate.
    types           jsonb       NOT NULL,
    CONSTRAINT projection_costs_pkey PRIMARY KEY (projection_name, host_id)
) WITH (fillfactor = 50);
