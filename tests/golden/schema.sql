-- The schema that the migrations make, as PostgreSQL tells it. Written by a test:
-- UPDATE_GOLDEN=1 cargo nextest run -p eventfabric-tests golden

CREATE TABLE eventfabric.dismissals (
    id bigint NOT NULL DEFAULT nextval('eventfabric.dismissals_id_seq'::regclass),
    global_position bigint NOT NULL,
    tenant_id text NOT NULL,
    reason text,
    dismissed_by text,
    dismissed_at timestamp with time zone NOT NULL,
    undone_by text,
    undone_at timestamp with time zone,
    CONSTRAINT dismissals_pkey PRIMARY KEY (id)
);
CREATE INDEX dismissals_position_idx ON eventfabric.dismissals USING btree (global_position, id);

CREATE TABLE eventfabric.dismissed_deliveries (
    global_position bigint NOT NULL,
    projection_name text NOT NULL DEFAULT ''::text,
    outbox_id bigint NOT NULL,
    tenant_id text NOT NULL,
    topic text,
    attempts integer NOT NULL,
    last_error text,
    since timestamp with time zone NOT NULL,
    plugin_version text,
    CONSTRAINT dismissed_deliveries_pkey PRIMARY KEY (global_position, projection_name)
);

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
CREATE INDEX events_causation_idx ON eventfabric.events USING btree (causation_id, global_position) WHERE (causation_id IS NOT NULL);
CREATE INDEX events_correlation_idx ON eventfabric.events USING btree (correlation_id, global_position) WHERE (correlation_id IS NOT NULL);
CREATE INDEX events_dismissed_idx ON eventfabric.events USING btree (global_position) WHERE (dismissed_at IS NOT NULL);
CREATE INDEX events_global_idx ON eventfabric.events USING btree (global_position);
CREATE INDEX events_occurred_idx ON eventfabric.events USING brin (occurred_at) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX events_stream_covering_idx ON eventfabric.events USING btree (tenant_id, aggregate_name, aggregate_id, aggregate_version);
CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE ON eventfabric.events FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON eventfabric.events FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();
CREATE TRIGGER events_note_dismissal AFTER UPDATE OF dismissed_at ON eventfabric.events FOR EACH ROW WHEN ((old.dismissed_at IS DISTINCT FROM new.dismissed_at)) EXECUTE FUNCTION eventfabric.note_dismissal();

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
       AND (to_jsonb(NEW) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])::text
         = (to_jsonb(OLD) - '{dismissed_at,dismissed_reason,dismissed_by}'::text[])::text
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

CREATE OR REPLACE FUNCTION eventfabric.note_dismissal()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    -- The state of the aggregate changes from this version on.
    DELETE FROM eventfabric.snapshots s
    WHERE s.tenant_id = NEW.tenant_id AND s.aggregate_name = NEW.aggregate_name
      AND s.aggregate_id = NEW.aggregate_id AND s.aggregate_version >= NEW.aggregate_version;

    IF OLD.dismissed_at IS NOT NULL THEN
        UPDATE eventfabric.dismissals
        SET undone_at = now(), undone_by = session_user
        WHERE global_position = NEW.global_position AND undone_at IS NULL;
    END IF;
    IF NEW.dismissed_at IS NOT NULL THEN
        INSERT INTO eventfabric.dismissals
               (global_position, tenant_id, reason, dismissed_by, dismissed_at)
        VALUES (NEW.global_position, NEW.tenant_id, NEW.dismissed_reason,
                coalesce(NEW.dismissed_by, session_user), NEW.dismissed_at);
    END IF;

    IF OLD.dismissed_at IS NULL THEN
        -- Two statements: a worker that holds the row of the outbox may leave a retry behind.
        WITH queued AS (
            DELETE FROM eventfabric.outbox
            WHERE global_position = NEW.global_position AND dead_lettered_at IS NULL
            RETURNING *
        )
        INSERT INTO eventfabric.dismissed_deliveries
               (global_position, outbox_id, tenant_id, topic, attempts, last_error, since)
        SELECT global_position, id, tenant_id, topic, attempts, last_error, created_at
        FROM queued
        ON CONFLICT DO NOTHING;

        WITH retried AS (
            DELETE FROM eventfabric.projection_retries
            WHERE global_position = NEW.global_position
            RETURNING *
        )
        INSERT INTO eventfabric.dismissed_deliveries
               (global_position, projection_name, outbox_id, tenant_id, topic, attempts,
                last_error, since, plugin_version)
        SELECT global_position, projection_name, outbox_id, tenant_id, topic, attempts, last_error,
               first_failed_at, plugin_version
        FROM retried
        ON CONFLICT DO NOTHING;
    ELSIF NEW.dismissed_at IS NULL THEN
        -- An id of the outbox is never given twice, so the row gets back its place in the queue.
        INSERT INTO eventfabric.outbox
               (id, global_position, topic, tenant_id, created_at, attempts, last_error)
        SELECT outbox_id, global_position, topic, tenant_id, since, attempts, last_error
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name = ''
        ON CONFLICT DO NOTHING;

        INSERT INTO eventfabric.projection_retries
               (projection_name, global_position, tenant_id, outbox_id, topic, attempts,
                first_failed_at, last_error, plugin_version)
        SELECT projection_name, global_position, tenant_id, outbox_id, topic, attempts, since,
               last_error, plugin_version
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name <> ''
        ON CONFLICT DO NOTHING;

        DELETE FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position;
    END IF;
    RETURN NULL;
END
$function$;
