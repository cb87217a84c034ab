-- The schema that the migrations make, as PostgreSQL tells it. Written by a test:
-- UPDATE_GOLDEN=1 cargo nextest run -p eventfabric-tests golden

CREATE TABLE eventfabric.events (
    global_position bigint NOT NULL DEFAULT nextval('eventfabric.events_global_position_seq'::regclass),
    event_id uuid NOT NULL,
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    aggregate_version integer NOT NULL,
    type text NOT NULL,
    version integer NOT NULL,
    payload jsonb NOT NULL,
    occurred_at timestamp with time zone NOT NULL DEFAULT now(),
    dismissed_at timestamp with time zone,
    dismissed_reason text,
    dismissed_by text,
    correlation_id text,
    causation_id text,
    tenant_id text NOT NULL DEFAULT 'default'::text,
    CONSTRAINT events_event_id_key UNIQUE (event_id),
    CONSTRAINT events_pkey PRIMARY KEY (global_position),
    CONSTRAINT events_tenant_aggregate_version_key UNIQUE (tenant_id, aggregate_name, aggregate_id, aggregate_version)
);
CREATE INDEX events_global_idx ON eventfabric.events USING btree (global_position);
CREATE INDEX events_stream_covering_idx ON eventfabric.events USING btree (tenant_id, aggregate_name, aggregate_id, aggregate_version);
CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE ON eventfabric.events FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON eventfabric.events FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();

CREATE TABLE eventfabric.outbox (
    id bigint NOT NULL DEFAULT nextval('eventfabric.outbox_id_seq'::regclass),
    global_position bigint NOT NULL,
    topic text,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    locked_at timestamp with time zone,
    locked_by text,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    dead_lettered_at timestamp with time zone,
    dead_letter_reason text,
    tenant_id text NOT NULL DEFAULT 'default'::text,
    CONSTRAINT outbox_global_position_key UNIQUE (global_position),
    CONSTRAINT outbox_pkey PRIMARY KEY (id)
);
CREATE INDEX outbox_claimable_idx ON eventfabric.outbox USING btree (id) WHERE ((dead_lettered_at IS NULL) AND (locked_at IS NULL));
CREATE INDEX outbox_foreign_claims_idx ON eventfabric.outbox USING btree (locked_at) WHERE (locked_at IS NOT NULL);
CREATE INDEX outbox_global_idx ON eventfabric.outbox USING btree (global_position);
CREATE INDEX outbox_topic_idx ON eventfabric.outbox USING btree (topic);

CREATE TABLE eventfabric.outbox_dead_letters (
    id bigint NOT NULL DEFAULT nextval('eventfabric.outbox_dead_letters_id_seq'::regclass),
    outbox_id bigint NOT NULL,
    global_position bigint NOT NULL,
    topic text,
    attempts integer NOT NULL,
    last_error text,
    dead_lettered_at timestamp with time zone NOT NULL DEFAULT now(),
    tenant_id text NOT NULL DEFAULT 'default'::text,
    projection_name text,
    plugin_version text,
    first_failed_at timestamp with time zone,
    CONSTRAINT outbox_dead_letters_pkey PRIMARY KEY (id)
);
CREATE INDEX outbox_dlq_global_idx ON eventfabric.outbox_dead_letters USING btree (global_position);
CREATE INDEX outbox_dlq_projection_idx ON eventfabric.outbox_dead_letters USING btree (projection_name, global_position);

CREATE TABLE eventfabric.plugin_migrations (
    schema_name text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT plugin_migrations_number_check CHECK ((number > 0)),
    CONSTRAINT plugin_migrations_pkey PRIMARY KEY (schema_name, number),
    CONSTRAINT plugin_migrations_schema_fkey FOREIGN KEY (schema_name) REFERENCES eventfabric.plugin_schemas(schema_name) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE eventfabric.plugin_schemas (
    schema_name text NOT NULL,
    plugin_name text NOT NULL,
    owner_role text NOT NULL,
    exec_role text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT plugin_schemas_pkey PRIMARY KEY (schema_name)
);

CREATE TABLE eventfabric.plugin_statements (
    schema_name text NOT NULL,
    sha256 text NOT NULL,
    statement text NOT NULL,
    function_name text NOT NULL,
    description jsonb NOT NULL,
    policy integer NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT plugin_statements_pkey PRIMARY KEY (schema_name, sha256),
    CONSTRAINT plugin_statements_schema_fkey FOREIGN KEY (schema_name) REFERENCES eventfabric.plugin_schemas(schema_name) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE eventfabric.plugin_versions (
    sha256 text NOT NULL,
    plugin_name text NOT NULL,
    bytes bytea NOT NULL,
    description jsonb NOT NULL,
    imports text[] NOT NULL DEFAULT '{}'::text[],
    deployed_at timestamp with time zone NOT NULL DEFAULT now(),
    deployed_by text,
    source text,
    CONSTRAINT plugin_versions_pkey PRIMARY KEY (plugin_name, sha256)
);

CREATE TABLE eventfabric.projection_checkpoints (
    projection_name text NOT NULL,
    last_global_position bigint NOT NULL DEFAULT 0,
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    tenant_id text NOT NULL DEFAULT 'default'::text,
    plugin_version text,
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection_name, tenant_id)
);

CREATE TABLE eventfabric.projection_retries (
    projection_name text NOT NULL,
    global_position bigint NOT NULL,
    tenant_id text NOT NULL DEFAULT 'default'::text,
    outbox_id bigint NOT NULL,
    topic text,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp with time zone NOT NULL DEFAULT now(),
    first_failed_at timestamp with time zone NOT NULL DEFAULT now(),
    last_error text,
    plugin_version text,
    CONSTRAINT projection_retries_pkey PRIMARY KEY (projection_name, global_position)
);
CREATE INDEX projection_retries_due_idx ON eventfabric.projection_retries USING btree (projection_name, next_attempt_at);

CREATE TABLE eventfabric.projections (
    projection_name text NOT NULL,
    mode text NOT NULL,
    active_sha256 text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'running'::text,
    last_error text,
    activated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projections_active_version_fkey FOREIGN KEY (projection_name, active_sha256) REFERENCES eventfabric.plugin_versions(plugin_name, sha256),
    CONSTRAINT projections_mode_check CHECK ((mode = ANY (ARRAY['inline'::text, 'catch-up'::text, 'async'::text]))),
    CONSTRAINT projections_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projections_state_check CHECK ((state = ANY (ARRAY['running'::text, 'failed'::text])))
);

CREATE TABLE eventfabric.schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (name)
);

CREATE TABLE eventfabric.snapshots (
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    aggregate_version integer NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    snapshot_schema_version integer NOT NULL,
    state jsonb NOT NULL,
    tenant_id text NOT NULL DEFAULT 'default'::text,
    rebuild_requested_at timestamp with time zone,
    CONSTRAINT snapshots_pkey PRIMARY KEY (tenant_id, aggregate_name, aggregate_id)
);

CREATE TABLE eventfabric.stream_versions (
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    current_version integer NOT NULL DEFAULT 0,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    tenant_id text NOT NULL DEFAULT 'default'::text,
    CONSTRAINT stream_versions_pkey PRIMARY KEY (tenant_id, aggregate_name, aggregate_id)
);

CREATE TABLE eventfabric.tenants (
    tenant_id text NOT NULL,
    database_url text NOT NULL,
    added_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_tenant_id_check CHECK (((octet_length(tenant_id) >= 1) AND (octet_length(tenant_id) <= 512)))
);

CREATE OR REPLACE FUNCTION eventfabric.guard_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION eventfabric.guard_events_truncate()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    IF current_setting('eventfabric.maintenance', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the log of events is append-only: TRUNCATE refused'
        USING ERRCODE = 'restrict_violation',
              HINT = 'SET LOCAL eventfabric.maintenance = ''on'' in the transaction of the maintenance.';
END
$function$;
