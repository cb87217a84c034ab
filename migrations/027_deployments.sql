-- What became of every version that was handed to a host: which one took the place of which, when, by whom
-- and why, and what was refused.

CREATE TABLE eventfabric.plugin_deployments (
    deployment_id   bigint      GENERATED ALWAYS AS IDENTITY,
    plugin_name     text        NOT NULL,
    sha256          text        NOT NULL,
    -- deploy: somebody or a folder handed it in; rollback: somebody went back to it; fallback: a host did,
    -- because the version that took its place failed; remove: no host runs the plugin any more.
    action          text        NOT NULL CHECK (action IN ('deploy', 'rollback', 'fallback', 'remove')),
    -- The version that was active until then.
    replaced_sha256 text,
    -- Events that went well on trial.
    tried           bigint      NOT NULL DEFAULT 0,
    -- Of a deploy and a rollback: why it did not become active. Of a fallback: how the other one failed.
    error           text,
    -- Of a remove: the generation that the projection had, for none of its generations ever comes again.
    generation      bigint,
    -- The greatest position of the log at that time.
    log_position    bigint      NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    by              text,
    source          text,
    CONSTRAINT plugin_deployments_pkey PRIMARY KEY (deployment_id)
);

CREATE INDEX plugin_deployments_plugin_idx
    ON eventfabric.plugin_deployments (plugin_name, deployment_id);
