-- The schema that the migrations make, as PostgreSQL tells it. Written by a test:
-- UPDATE_GOLDEN=1 cargo nextest run -p eventfabric-tests golden

CREATE TABLE eventfabric.detached_partitions (
    name text NOT NULL,
    from_position bigint,
    to_position bigint NOT NULL,
    detached_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT detached_partitions_pkey PRIMARY KEY (name)
);

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

CREATE TABLE eventfabric.event_chains (
    global_position bigint NOT NULL,
    length integer NOT NULL,
    CONSTRAINT event_chains_length_check CHECK ((length > 0)),
    CONSTRAINT event_chains_pkey PRIMARY KEY (global_position)
);

CREATE TABLE eventfabric.event_keys (
    event_id uuid NOT NULL,
    global_position bigint NOT NULL,
    aggregate_version integer NOT NULL,
    tenant_id text NOT NULL,
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    CONSTRAINT event_keys_pkey PRIMARY KEY (event_id),
    CONSTRAINT event_keys_version_key UNIQUE (tenant_id, aggregate_name, aggregate_id, aggregate_version) INCLUDE (global_position)
);

CREATE TABLE eventfabric.event_partitions (
    oid oid,
    name name,
    detaching boolean,
    is_default boolean,
    from_position bigint,
    to_position bigint
);

CREATE TABLE eventfabric.event_schemas (
    event_type text NOT NULL,
    schema_version integer NOT NULL,
    schema jsonb NOT NULL,
    enforced boolean NOT NULL,
    registered_at timestamp with time zone NOT NULL DEFAULT now(),
    registered_by text,
    CONSTRAINT event_schemas_pkey PRIMARY KEY (event_type, schema_version),
    CONSTRAINT event_schemas_schema_version_check CHECK ((schema_version >= 1))
);

CREATE TABLE eventfabric.event_schemas_generation (
    singleton boolean NOT NULL DEFAULT true,
    generation bigint NOT NULL,
    CONSTRAINT event_schemas_generation_pkey PRIMARY KEY (singleton),
    CONSTRAINT event_schemas_generation_singleton_check CHECK (singleton)
);

CREATE TABLE eventfabric.event_seals (
    aggregate_version integer NOT NULL,
    previous_version integer NOT NULL,
    global_position bigint NOT NULL,
    tenant_id text NOT NULL,
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    key_id text NOT NULL,
    mac bytea NOT NULL,
    CONSTRAINT event_seals_mac_check CHECK ((octet_length(mac) = 32)),
    CONSTRAINT event_seals_pkey PRIMARY KEY (tenant_id, aggregate_name, aggregate_id, aggregate_version)
);
CREATE TRIGGER event_seals_append_only BEFORE DELETE OR UPDATE ON eventfabric.event_seals FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events();
CREATE TRIGGER event_seals_no_truncate BEFORE TRUNCATE ON eventfabric.event_seals FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();

CREATE TABLE eventfabric.event_traces (
    global_position bigint NOT NULL,
    traceparent text NOT NULL,
    tracestate text,
    stored_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT event_traces_pkey PRIMARY KEY (global_position)
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

CREATE TABLE eventfabric.hosts (
    host_id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    seen_at timestamp with time zone NOT NULL DEFAULT now(),
    relays text[] NOT NULL DEFAULT '{}'::text[],
    parks boolean NOT NULL DEFAULT false,
    CONSTRAINT hosts_pkey PRIMARY KEY (host_id)
);

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
    aggregate_name text,
    aggregate_id text,
    error_class text,
    sqlstate text,
    failed_sql text,
    CONSTRAINT outbox_dead_letters_pkey PRIMARY KEY (id)
);
CREATE INDEX outbox_dlq_global_idx ON eventfabric.outbox_dead_letters USING btree (global_position);
CREATE INDEX outbox_dlq_projection_idx ON eventfabric.outbox_dead_letters USING btree (projection_name, global_position);
CREATE INDEX outbox_dlq_stream_idx ON eventfabric.outbox_dead_letters USING btree (projection_name, tenant_id, aggregate_name, aggregate_id, global_position) WHERE (projection_name IS NOT NULL);

CREATE TABLE eventfabric.partitioning (
    one boolean NOT NULL DEFAULT true,
    size bigint NOT NULL,
    keyed bigint NOT NULL DEFAULT 0,
    keyed_until bigint NOT NULL DEFAULT 0,
    CONSTRAINT partitioning_one_check CHECK (one),
    CONSTRAINT partitioning_pkey PRIMARY KEY (one),
    CONSTRAINT partitioning_size_check CHECK ((size > 0))
);

CREATE TABLE eventfabric.plugin_config (
    plugin_name text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    set_at timestamp with time zone NOT NULL DEFAULT now(),
    set_by text,
    CONSTRAINT plugin_config_pkey PRIMARY KEY (plugin_name, key)
);

CREATE TABLE eventfabric.plugin_deployments (
    deployment_id bigint NOT NULL,
    plugin_name text NOT NULL,
    sha256 text NOT NULL,
    action text NOT NULL,
    replaced_sha256 text,
    tried bigint NOT NULL DEFAULT 0,
    error text,
    generation bigint,
    log_position bigint NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT now(),
    by text,
    source text,
    rebuilt boolean NOT NULL DEFAULT false,
    trial jsonb,
    CONSTRAINT plugin_deployments_action_check CHECK ((action = ANY (ARRAY['deploy'::text, 'rollback'::text, 'fallback'::text, 'remove'::text, 'retire'::text, 'config'::text]))),
    CONSTRAINT plugin_deployments_pkey PRIMARY KEY (deployment_id)
);
CREATE INDEX plugin_deployments_plugin_idx ON eventfabric.plugin_deployments USING btree (plugin_name, deployment_id);

CREATE TABLE eventfabric.plugin_grants (
    plugin_name text NOT NULL,
    kind text NOT NULL,
    target text NOT NULL,
    granted_at timestamp with time zone NOT NULL DEFAULT now(),
    granted_by text,
    CONSTRAINT plugin_grants_kind_check CHECK ((kind = ANY (ARRAY['read'::text, 'call'::text, 'call-definer'::text, 'append'::text, 'http'::text, 'https'::text]))),
    CONSTRAINT plugin_grants_pkey PRIMARY KEY (plugin_name, kind, target)
);

CREATE TABLE eventfabric.plugin_logs (
    log_id bigint NOT NULL,
    plugin_name text NOT NULL,
    at timestamp with time zone NOT NULL,
    level smallint NOT NULL,
    version text NOT NULL,
    positions text NOT NULL,
    message text NOT NULL,
    host text NOT NULL,
    CONSTRAINT plugin_logs_level_check CHECK (((level >= 0) AND (level <= 4))),
    CONSTRAINT plugin_logs_pkey PRIMARY KEY (log_id)
);
CREATE INDEX plugin_logs_plugin_idx ON eventfabric.plugin_logs USING btree (plugin_name, log_id);

CREATE TABLE eventfabric.plugin_manifests (
    plugin_name text NOT NULL,
    version text NOT NULL,
    sha256 text NOT NULL,
    statement text NOT NULL,
    learnt_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT plugin_manifests_pkey PRIMARY KEY (plugin_name, version, sha256)
);

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

CREATE TABLE eventfabric.projection_backfills (
    projection_name text NOT NULL,
    last_position bigint NOT NULL DEFAULT 0,
    target bigint,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_backfills_pkey PRIMARY KEY (projection_name)
);

CREATE TABLE eventfabric.projection_checkpoints (
    projection_name text NOT NULL,
    last_global_position bigint NOT NULL DEFAULT 0,
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    tenant_id text NOT NULL DEFAULT 'default'::text,
    plugin_version text,
    shards integer NOT NULL DEFAULT 1,
    owner text,
    CONSTRAINT projection_checkpoints_pkey PRIMARY KEY (projection_name, tenant_id)
);
CREATE TRIGGER projection_checkpoints_note_range AFTER UPDATE ON eventfabric.projection_checkpoints FOR EACH ROW WHEN (((old.plugin_version IS DISTINCT FROM new.plugin_version) OR (new.last_global_position < old.last_global_position) OR (old.shards <> new.shards))) EXECUTE FUNCTION eventfabric.note_range();

CREATE TABLE eventfabric.projection_costs (
    projection_name text NOT NULL,
    host_id uuid NOT NULL,
    version text NOT NULL,
    noted_at timestamp with time zone NOT NULL DEFAULT now(),
    events bigint NOT NULL,
    calls bigint NOT NULL,
    failed_calls bigint NOT NULL,
    wasm_us bigint NOT NULL,
    sql_us bigint NOT NULL,
    statements bigint NOT NULL,
    rows_read bigint NOT NULL,
    rows_written bigint NOT NULL,
    bytes bigint NOT NULL,
    types jsonb NOT NULL,
    CONSTRAINT projection_costs_pkey PRIMARY KEY (projection_name, host_id)
);

CREATE TABLE eventfabric.projection_kept (
    projection_name text NOT NULL,
    plugin_version text NOT NULL,
    last_global_position bigint NOT NULL,
    beyond bigint[] NOT NULL DEFAULT '{}'::bigint[],
    wants jsonb NOT NULL,
    kept_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_kept_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projection_kept_projection_fkey FOREIGN KEY (projection_name) REFERENCES eventfabric.projections(projection_name) ON DELETE CASCADE
);

CREATE TABLE eventfabric.projection_kept_open (
    projection_name text NOT NULL,
    global_position bigint NOT NULL,
    tenant_id text NOT NULL,
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    CONSTRAINT projection_kept_open_kept_fkey FOREIGN KEY (projection_name) REFERENCES eventfabric.projection_kept(projection_name) ON DELETE CASCADE,
    CONSTRAINT projection_kept_open_pkey PRIMARY KEY (projection_name, global_position)
);

CREATE TABLE eventfabric.projection_parked (
    id bigint NOT NULL,
    projection_name text NOT NULL,
    tenant_id text NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    events integer NOT NULL,
    positions bigint[] NOT NULL,
    outbox_ids bigint[] NOT NULL,
    topics text[] NOT NULL,
    plugin_version text,
    parked_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_parked_pkey PRIMARY KEY (id)
);
CREATE INDEX projection_parked_projection_idx ON eventfabric.projection_parked USING btree (projection_name, id);

CREATE TABLE eventfabric.projection_positions (
    projection_name text,
    tenant_id text,
    shard integer,
    shards integer,
    last_global_position bigint,
    plugin_version text,
    owner text,
    updated_at timestamp with time zone
);

CREATE TABLE eventfabric.projection_ranges (
    projection_name text NOT NULL,
    tenant_id text NOT NULL,
    shard integer NOT NULL,
    first_position bigint NOT NULL,
    shards integer NOT NULL,
    plugin_version text NOT NULL,
    at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_ranges_pkey PRIMARY KEY (projection_name, tenant_id, shard, first_position)
);

CREATE TABLE eventfabric.projection_rebuild_open (
    projection_name text NOT NULL,
    shard integer NOT NULL,
    global_position bigint NOT NULL,
    tenant_id text NOT NULL,
    aggregate_name text NOT NULL,
    aggregate_id text NOT NULL,
    CONSTRAINT projection_rebuild_open_pkey PRIMARY KEY (projection_name, shard, global_position),
    CONSTRAINT projection_rebuild_open_rebuild_fkey FOREIGN KEY (projection_name) REFERENCES eventfabric.projection_rebuilds(projection_name) ON DELETE CASCADE
);
CREATE INDEX projection_rebuild_open_stream_idx ON eventfabric.projection_rebuild_open USING btree (projection_name, tenant_id, aggregate_name, aggregate_id);

CREATE TABLE eventfabric.projection_rebuild_shards (
    projection_name text NOT NULL,
    shard integer NOT NULL,
    last_global_position bigint NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_rebuild_shards_pkey PRIMARY KEY (projection_name, shard),
    CONSTRAINT projection_rebuild_shards_rebuild_fkey FOREIGN KEY (projection_name) REFERENCES eventfabric.projection_rebuilds(projection_name) ON DELETE CASCADE
);

CREATE TABLE eventfabric.projection_rebuilds (
    projection_name text NOT NULL,
    rebuild_id uuid NOT NULL DEFAULT gen_random_uuid(),
    plugin_version text NOT NULL,
    starts_after bigint NOT NULL,
    wants jsonb NOT NULL,
    shards integer NOT NULL,
    target_position bigint NOT NULL DEFAULT 0,
    last_error text,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    beyond bigint[] NOT NULL DEFAULT '{}'::bigint[],
    CONSTRAINT projection_rebuilds_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projection_rebuilds_projection_fkey FOREIGN KEY (projection_name) REFERENCES eventfabric.projections(projection_name) ON DELETE CASCADE,
    CONSTRAINT projection_rebuilds_shards_check CHECK (((shards >= 1) AND (shards <= 256))),
    CONSTRAINT projection_rebuilds_starts_after_check CHECK ((starts_after >= 0))
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
    aggregate_name text,
    aggregate_id text,
    held boolean NOT NULL DEFAULT false,
    CONSTRAINT projection_retries_pkey PRIMARY KEY (projection_name, global_position)
);
CREATE INDEX projection_retries_due_idx ON eventfabric.projection_retries USING btree (projection_name, next_attempt_at, global_position) WHERE (NOT held);
CREATE INDEX projection_retries_held_idx ON eventfabric.projection_retries USING btree (projection_name, tenant_id, aggregate_name, aggregate_id, global_position) WHERE held;
CREATE INDEX projection_retries_stream_idx ON eventfabric.projection_retries USING btree (projection_name, tenant_id, aggregate_name, aggregate_id, global_position);

CREATE TABLE eventfabric.projection_shards (
    projection_name text NOT NULL,
    tenant_id text NOT NULL,
    shard integer NOT NULL,
    shards integer NOT NULL,
    last_global_position bigint NOT NULL,
    plugin_version text,
    owner text,
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT projection_shards_check CHECK (((shard >= 0) AND (shard < shards))),
    CONSTRAINT projection_shards_pkey PRIMARY KEY (projection_name, tenant_id, shard)
);
CREATE TRIGGER projection_shards_note_range AFTER UPDATE ON eventfabric.projection_shards FOR EACH ROW WHEN (((old.plugin_version IS DISTINCT FROM new.plugin_version) OR (new.last_global_position < old.last_global_position) OR (old.shards <> new.shards))) EXECUTE FUNCTION eventfabric.note_range();

CREATE TABLE eventfabric.projections (
    projection_name text NOT NULL,
    mode text NOT NULL,
    active_sha256 text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'running'::text,
    last_error text,
    activated_at timestamp with time zone NOT NULL DEFAULT now(),
    shards integer NOT NULL DEFAULT 1,
    on_poison text NOT NULL DEFAULT 'stop'::text,
    stream_order boolean NOT NULL DEFAULT false,
    topics jsonb,
    priority integer NOT NULL DEFAULT 0,
    starts_after bigint NOT NULL DEFAULT 0,
    paused_at timestamp with time zone,
    paused_by text,
    pause_reason text,
    next_sha256 text,
    next_at bigint,
    next_origin jsonb,
    CONSTRAINT projections_active_version_fkey FOREIGN KEY (projection_name, active_sha256) REFERENCES eventfabric.plugin_versions(plugin_name, sha256),
    CONSTRAINT projections_mode_check CHECK ((mode = ANY (ARRAY['inline'::text, 'catch-up'::text, 'async'::text]))),
    CONSTRAINT projections_next_at_check CHECK ((next_at > 0)),
    CONSTRAINT projections_on_poison_check CHECK ((on_poison = ANY (ARRAY['stop'::text, 'set-aside'::text]))),
    CONSTRAINT projections_pkey PRIMARY KEY (projection_name),
    CONSTRAINT projections_shards_check CHECK (((shards >= 1) AND (shards <= 256))),
    CONSTRAINT projections_starts_after_check CHECK ((starts_after >= 0)),
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

CREATE OR REPLACE FUNCTION eventfabric.attach_partition(partition_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    gone eventfabric.detached_partitions;
BEGIN
    DELETE FROM eventfabric.detached_partitions d WHERE d.name = partition_name RETURNING * INTO gone;
    IF gone IS NULL THEN
        RAISE EXCEPTION 'no partition % was detached', partition_name
            USING ERRCODE = 'undefined_object';
    END IF;
    EXECUTE format('DROP TRIGGER IF EXISTS events_append_only ON eventfabric.%I', gone.name);
    EXECUTE format('ALTER TABLE eventfabric.events ATTACH PARTITION eventfabric.%I
                        FOR VALUES FROM (%s) TO (%s)', gone.name,
                   coalesce(gone.from_position::text, 'MINVALUE'), gone.to_position);
    PERFORM eventfabric.guard_partition(format('eventfabric.%I', gone.name)::regclass);
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.begin_keys(partition_size bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    LOCK TABLE eventfabric.events IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM eventfabric.partitioning) THEN
        RETURN;
    END IF;
    PERFORM eventfabric.guard_partition('eventfabric.events');
    PERFORM eventfabric.guard_partition(p.oid) FROM eventfabric.event_partitions p;
    INSERT INTO eventfabric.partitioning (size, keyed_until)
    VALUES (partition_size,
            greatest(eventfabric.last_position(),
                     (SELECT coalesce(max(global_position), 0) FROM eventfabric.events)));
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.continue_keys(positions bigint, OUT keyed bigint, OUT until bigint, OUT doubles bigint)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    before bigint;
    found_events bigint;
    written bigint;
BEGIN
    SELECT p.keyed, p.keyed_until INTO before, until FROM eventfabric.partitioning p FOR UPDATE;
    -- From one event to the next: a log may begin late and have wide holes.
    SELECT coalesce(min(e.global_position), until) INTO keyed
    FROM eventfabric.events e
    WHERE e.global_position > before;
    keyed := least(until, keyed - 1 + positions);
    WITH found AS (
        SELECT e.event_id, e.global_position, e.aggregate_version, e.tenant_id, e.aggregate_name,
               e.aggregate_id
        FROM eventfabric.events e
        WHERE e.global_position > before AND e.global_position <= keyed
        ORDER BY e.global_position
    ),
    inserted AS (
        INSERT INTO eventfabric.event_keys
               (event_id, global_position, aggregate_version, tenant_id, aggregate_name,
                aggregate_id)
        TABLE found
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM inserted)
    INTO found_events, written;
    doubles := found_events - written;
    UPDATE eventfabric.partitioning SET keyed = continue_keys.keyed;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.create_partitions(ahead integer)
 RETURNS SETOF text
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    partition_size bigint;
    last_position bigint;
    next_from bigint;
    next_to bigint;
    name text;
BEGIN
    IF NOT eventfabric.events_are_partitioned() THEN
        RETURN;
    END IF;
    -- "ef-parti" in ASCII.
    PERFORM pg_advisory_xact_lock(7306577406149686377);
    SELECT p.size INTO partition_size FROM eventfabric.partitioning p;
    IF partition_size IS NULL THEN
        RAISE EXCEPTION 'the log is partitioned, but nothing says how large a partition is'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run `eventfabric partitions enable` once.';
    END IF;
    last_position := eventfabric.last_position();
    SELECT max(b.to_position) INTO next_from
    FROM (SELECT p.to_position FROM eventfabric.event_partitions p
          UNION ALL
          SELECT d.to_position FROM eventfabric.detached_partitions d) b
    HAVING NOT EXISTS (SELECT FROM eventfabric.event_partitions p
                       WHERE p.to_position IS NULL AND NOT p.is_default);
    WHILE next_from <= last_position + ahead * partition_size LOOP
        next_to := greatest((next_from / partition_size + 1) * partition_size,
                            -- Positions may have jumped: one partition for all that was left out.
                            last_position / partition_size * partition_size);
        name := format('events_p_%s_%s', next_from, next_to);
        PERFORM eventfabric.make_partition(name, next_from, next_to);
        RETURN NEXT name;
        next_from := next_to;
    END LOOP;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.events_are_partitioned()
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog'
RETURN (SELECT (c.relkind = 'p'::"char") FROM pg_class c WHERE (c.oid = (to_regclass('eventfabric.events'::text))::oid));

CREATE OR REPLACE FUNCTION eventfabric.guard_detached(partition regclass)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events()', partition);
END
$function$;

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

CREATE OR REPLACE FUNCTION eventfabric.guard_partition(partition regclass)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER events_no_truncate BEFORE TRUNCATE ON %s
             FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();
         CREATE OR REPLACE TRIGGER events_keys AFTER INSERT ON %s
             REFERENCING NEW TABLE AS added
             FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.key_events()',
        partition, partition);
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.key_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    INSERT INTO eventfabric.event_keys
           (event_id, global_position, aggregate_version, tenant_id, aggregate_name, aggregate_id)
    SELECT event_id, global_position, aggregate_version, tenant_id, aggregate_name, aggregate_id
    FROM added;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.last_position()
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'pg_catalog'
RETURN (SELECT CASE WHEN s.is_called THEN s.last_value ELSE (s.last_value - 1) END AS "case" FROM eventfabric.events_global_position_seq s);

CREATE OR REPLACE FUNCTION eventfabric.make_partition(name text, from_position bigint, to_position bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    owner text := (SELECT c.relowner::regrole::text FROM pg_class c
                   WHERE c.oid = 'eventfabric.events'::regclass
                     AND c.relowner <> current_user::regrole);
BEGIN
    EXECUTE format('CREATE TABLE eventfabric.%I (LIKE eventfabric.events INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE eventfabric.events ATTACH PARTITION eventfabric.%I
                        FOR VALUES FROM (%s) TO (%s)', name, from_position, to_position);
    PERFORM eventfabric.guard_partition(format('eventfabric.%I', name)::regclass);
    IF owner IS NOT NULL THEN
        EXECUTE format('ALTER TABLE eventfabric.%I OWNER TO %s', name, owner);
    END IF;
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
        -- One after the other: a worker that holds the row of the outbox may leave it parked, or a retry.
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

        PERFORM eventfabric.unpark(array_agg(p.id))
        FROM (SELECT id FROM eventfabric.projection_parked
              WHERE NEW.global_position BETWEEN first_position AND last_position
                AND NEW.global_position = ANY (positions)
              ORDER BY id
              FOR UPDATE) p;

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
               (projection_name, global_position, tenant_id, aggregate_name, aggregate_id,
                outbox_id, topic, attempts, first_failed_at, last_error, plugin_version)
        SELECT projection_name, global_position, tenant_id, NEW.aggregate_name, NEW.aggregate_id,
               outbox_id, topic, attempts, since, last_error, plugin_version
        FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position AND projection_name <> ''
        ON CONFLICT DO NOTHING;

        DELETE FROM eventfabric.dismissed_deliveries
        WHERE global_position = NEW.global_position;
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.note_range()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    part   integer := 0;
    begins bigint  := OLD.last_global_position + 1;
BEGIN
    IF TG_TABLE_NAME = 'projection_shards' THEN
        part := NEW.shard;
    ELSIF NEW.shards > 1 THEN
        RETURN NULL;
    END IF;
    IF NEW.last_global_position < OLD.last_global_position THEN
        -- What comes again is not handled yet.
        DELETE FROM eventfabric.projection_ranges r
        WHERE r.projection_name = NEW.projection_name
          AND r.tenant_id = NEW.tenant_id
          AND r.first_position > NEW.last_global_position
          AND (r.shard = part OR r.shards <> NEW.shards);
        begins := NEW.last_global_position + 1;
    ELSIF NEW.shards <> OLD.shards THEN
        begins := NEW.last_global_position + 1;
    END IF;
    IF NEW.plugin_version IS NOT NULL THEN
        INSERT INTO eventfabric.projection_ranges
               (projection_name, tenant_id, shard, first_position, shards, plugin_version)
        VALUES (NEW.projection_name, NEW.tenant_id, part, begins, NEW.shards, NEW.plugin_version)
        ON CONFLICT (projection_name, tenant_id, shard, first_position) DO UPDATE
            SET shards = excluded.shards, plugin_version = excluded.plugin_version, at = excluded.at;
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.partition_events()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    settings eventfabric.partitioning;
    border bigint;
    promised boolean;
    statements text[] := '{}';
    item record;
    comment_text text;
BEGIN
    LOCK TABLE eventfabric.events IN ACCESS EXCLUSIVE MODE;
    IF eventfabric.events_are_partitioned() THEN
        RETURN;
    END IF;
    SELECT * INTO settings FROM eventfabric.partitioning;
    IF settings IS NULL OR settings.keyed < settings.keyed_until THEN
        RAISE EXCEPTION 'the events do not have their keys yet'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Call begin_keys, and continue_keys until keyed = until.';
    END IF;
    SELECT string_agg(s, ', ' ORDER BY s) INTO comment_text
    FROM eventfabric.stands_on_events() s;
    IF comment_text IS NOT NULL THEN
        RAISE EXCEPTION 'the log cannot be partitioned under what stands on it: %', comment_text
            USING ERRCODE = 'dependent_objects_still_exist',
                  HINT = 'Drop these, partition the log, and make them again.';
    END IF;
    SELECT (regexp_match(pg_get_constraintdef(c.oid), '< ''?(\d+)'))[1]::bigint INTO border
    FROM pg_constraint c
    WHERE c.conrelid = 'eventfabric.events'::regclass AND c.conname = 'events_p0_range'
      AND c.convalidated;
    promised := border IS NOT NULL;
    IF NOT promised THEN
        -- (A promise that was never looked at helps nobody.)
        ALTER TABLE eventfabric.events DROP CONSTRAINT IF EXISTS events_p0_range;
        border := 1 + greatest(
            eventfabric.last_position(),
            (SELECT coalesce(max(global_position), 0) FROM eventfabric.events));
    END IF;

    -- What the new table gets, in the words of the old one.
    FOR item IN
        SELECT x.indexrelid, i.relname, x.indisprimary, k.conname,
               k.contype, pg_get_indexdef(x.indexrelid) AS definition,
               pg_get_constraintdef(k.oid) AS constraint_definition
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype IN ('p', 'u')
        WHERE x.indrelid = 'eventfabric.events'::regclass
    LOOP
        IF item.contype = 'u' AND item.constraint_definition NOT LIKE '%global_position%' THEN
            -- The keys have this now.
            EXECUTE format('ALTER TABLE eventfabric.events DROP CONSTRAINT %I', item.conname);
            CONTINUE;
        END IF;
        EXECUTE format('ALTER INDEX eventfabric.%I RENAME TO %I', item.relname,
                       left(regexp_replace(item.relname, '^(events_)?', 'events_p0_'), 63));
        statements := statements || CASE WHEN item.conname IS NULL THEN item.definition
            ELSE format('ALTER TABLE eventfabric.events ADD CONSTRAINT %I %s', item.conname,
                        item.constraint_definition) END;
    END LOOP;
    FOR item IN
        SELECT t.tgname, (t.tgtype & 1) = 1 AS for_row, t.tgenabled,
               pg_get_triggerdef(t.oid) AS definition
        FROM pg_trigger t
        WHERE t.tgrelid = 'eventfabric.events'::regclass AND NOT t.tgisinternal
    LOOP
        statements := statements || item.definition;
        IF item.tgenabled <> 'O' THEN
            statements := statements || format(
                'ALTER TABLE eventfabric.events %s TRIGGER %I',
                CASE item.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS'
                                    ELSE 'ENABLE REPLICA' END, item.tgname);
        END IF;
        -- The partition gets those for rows from its parent.
        IF item.for_row THEN
            EXECUTE format('DROP TRIGGER %I ON eventfabric.events', item.tgname);
        END IF;
    END LOOP;
    SELECT statements || coalesce(array_agg(format(
               'GRANT %s%s ON TABLE eventfabric.events TO %s%s', a.privilege_type, a.columns,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)), '{}')
    INTO statements
    FROM (SELECT x.privilege_type, '' AS columns, x.grantee, x.is_grantable, c.relowner AS owner
          FROM pg_class c, aclexplode(c.relacl) x
          WHERE c.oid = 'eventfabric.events'::regclass
          UNION ALL
          SELECT x.privilege_type, format(' (%I)', t.attname), x.grantee, x.is_grantable, c.relowner
          FROM pg_class c
          JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) x
          WHERE c.oid = 'eventfabric.events'::regclass) a
    WHERE a.grantee <> a.owner;
    SELECT statements || coalesce(array_agg(format('ALTER TABLE eventfabric.events OWNER TO %s',
                                                   c.relowner::regrole)), '{}')
    INTO statements
    FROM pg_class c
    WHERE c.oid = 'eventfabric.events'::regclass AND c.relowner <> current_user::regrole;
    comment_text := obj_description('eventfabric.events'::regclass, 'pg_class');

    ALTER TABLE eventfabric.events RENAME TO events_p0;
    CREATE TABLE eventfabric.events (
        LIKE eventfabric.events_p0 INCLUDING ALL EXCLUDING INDEXES
    ) PARTITION BY RANGE (global_position);
    IF promised THEN
        ALTER TABLE eventfabric.events DROP CONSTRAINT events_p0_range;
    END IF;
    ALTER SEQUENCE eventfabric.events_global_position_seq OWNED BY eventfabric.events.global_position;
    EXECUTE format('COMMENT ON TABLE eventfabric.events IS %L', comment_text);
    FOR i IN 1 .. coalesce(array_length(statements, 1), 0) LOOP
        EXECUTE statements[i];
    END LOOP;
    EXECUTE format('ALTER TABLE eventfabric.events ATTACH PARTITION eventfabric.events_p0
                        FOR VALUES FROM (MINVALUE) TO (%s)', border);
    IF promised THEN
        ALTER TABLE eventfabric.events_p0 DROP CONSTRAINT events_p0_range;
    END IF;
    PERFORM eventfabric.make_partition('events_p1', border,
                                       (border / settings.size + 1) * settings.size);
    INSERT INTO eventfabric.schema_migrations (name) VALUES ('007_partitioning')
    ON CONFLICT (name) DO NOTHING;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.promise_border(border bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
BEGIN
    ALTER TABLE eventfabric.events DROP CONSTRAINT IF EXISTS events_p0_range;
    EXECUTE format('ALTER TABLE eventfabric.events ADD CONSTRAINT events_p0_range
                        CHECK (global_position < %s) NOT VALID', border);
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.require_attached(tenant text, aggregate text, id text, least_version integer, greatest_version integer)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog'
AS $function$
DECLARE
    missing record;
BEGIN
    IF NOT EXISTS (SELECT FROM eventfabric.detached_partitions) THEN
        RETURN true;
    END IF;
    SELECT k.aggregate_version, d.name INTO missing
    FROM eventfabric.event_keys k
    JOIN eventfabric.detached_partitions d
      ON k.global_position >= coalesce(d.from_position, 0) AND k.global_position < d.to_position
    WHERE k.tenant_id = tenant AND k.aggregate_name = aggregate AND k.aggregate_id = id
      AND k.aggregate_version BETWEEN least_version AND greatest_version
    ORDER BY k.aggregate_version
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'version % of %/% is not in the log: the partition % was detached',
            missing.aggregate_version, aggregate, id, missing.name
            USING ERRCODE = 'EF001', HINT = 'Attach it: eventfabric partitions attach '
                || missing.name;
    END IF;
    RETURN true;
END
$function$;

CREATE OR REPLACE FUNCTION eventfabric.shard_of(aggregate_id text, shards integer)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN (((get_byte(sha256(convert_to(aggregate_id, 'UTF8'::name)), 0) * 256) + get_byte(sha256(convert_to(aggregate_id, 'UTF8'::name)), 1)) % shards);

CREATE OR REPLACE FUNCTION eventfabric.stands_on_events()
 RETURNS SETOF text
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog'
BEGIN ATOMIC
 SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) AS pg_describe_object
    FROM (pg_depend d
      LEFT JOIN pg_constraint k ON (((d.classid = ('pg_constraint'::regclass)::oid) AND (k.oid = d.objid))))
   WHERE ((d.refclassid = ('pg_class'::regclass)::oid) AND (d.refobjid = (to_regclass('eventfabric.events'::text))::oid) AND ((d.classid = ANY (ARRAY[('pg_rewrite'::regclass)::oid, ('pg_policy'::regclass)::oid, ('pg_publication_rel'::regclass)::oid])) OR (d.classid = ('pg_proc'::regclass)::oid) OR (k.contype = 'f'::"char")))
 UNION
  SELECT pg_describe_object(('pg_class'::regclass)::oid, x.indexrelid, 0) AS pg_describe_object
    FROM ((pg_index x
      JOIN pg_attribute a ON (((a.attrelid = x.indrelid) AND (a.attname = 'global_position'::name))))
      LEFT JOIN pg_constraint k ON (((k.conindid = x.indexrelid) AND (k.contype = 'u'::"char"))))
   WHERE ((x.indrelid = (to_regclass('eventfabric.events'::text))::oid) AND x.indisunique AND (NOT (a.attnum = ANY ((x.indkey)::smallint[]))) AND ((k.oid IS NULL) OR ((( SELECT array_agg((c.attname)::text ORDER BY c.attname) AS array_agg
            FROM pg_attribute c
           WHERE ((c.attrelid = x.indrelid) AND (c.attnum = ANY (k.conkey)))) <> ARRAY['event_id'::text]) AND (( SELECT array_agg((c.attname)::text ORDER BY c.attname) AS array_agg
            FROM pg_attribute c
           WHERE ((c.attrelid = x.indrelid) AND (c.attnum = ANY (k.conkey)))) <> ARRAY['aggregate_id'::text, 'aggregate_name'::text, 'aggregate_version'::text, 'tenant_id'::text]))));
END;

CREATE OR REPLACE FUNCTION eventfabric.unpark(ids bigint[])
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'pg_catalog'
AS $function$
    WITH gone AS (
        DELETE FROM eventfabric.projection_parked p WHERE p.id = ANY (ids) RETURNING p.*
    ),
    retried AS (
        INSERT INTO eventfabric.projection_retries
               (projection_name, plugin_version, outbox_id, global_position, tenant_id, aggregate_name,
                aggregate_id, topic, first_failed_at)
        SELECT g.projection_name, g.plugin_version, n.outbox_id, e.global_position, e.tenant_id,
               e.aggregate_name, e.aggregate_id, n.topic, g.parked_at
        FROM gone g
        CROSS JOIN LATERAL unnest(g.positions, g.outbox_ids, g.topics)
                           AS n (position, outbox_id, topic)
        JOIN eventfabric.events e ON e.global_position = n.position
        ON CONFLICT (projection_name, global_position) DO NOTHING
    )
    SELECT coalesce(sum(g.events), 0)::bigint FROM gone g
$function$;
