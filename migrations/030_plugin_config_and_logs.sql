-- What an operator tells a plugin beyond the settings file, for all hosts, and what plugins have said.

CREATE TABLE eventfabric.plugin_config (
    plugin_name text        NOT NULL,
    key         text        NOT NULL,
    value       text        NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT now(),
    set_by      text,
    CONSTRAINT plugin_config_pkey PRIMARY KEY (plugin_name, key)
);

-- The last lines of each plugin; a host deletes older ones.
CREATE TABLE eventfabric.plugin_logs (
    log_id      bigint      GENERATED ALWAYS AS IDENTITY,
    plugin_name text        NOT NULL,
    at          timestamptz NOT NULL,
    -- trace, debug, info, warn, error: 0 to 4.
    level       smallint    NOT NULL CHECK (level BETWEEN 0 AND 4),
    version     text        NOT NULL,
    -- The events that the plugin was handling, from the first one to the last one.
    positions   text        NOT NULL,
    message     text        NOT NULL,
    host        text        NOT NULL,
    CONSTRAINT plugin_logs_pkey PRIMARY KEY (log_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE INDEX plugin_logs_plugin_idx ON eventfabric.plugin_logs (plugin_name, log_id);
