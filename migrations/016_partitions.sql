-- The log in partitions by position, for those who ask for it (`eventfabric partitions enable`).
--
-- A partitioned table can promise that positions are unique and nothing else, so what the log
-- promised before, one event an id and one event a version of a stream, is kept by a table of keys:
-- a statement trigger writes them with the events, whoever appends. The keys stay when a partition
-- goes. A log without partitions has no keys and no trigger, and pays nothing.
--
-- All of it is done by functions, so that a database without a host can call them by cron:
-- SELECT * FROM eventfabric.create_partitions(3).

CREATE TABLE eventfabric.event_keys (
    event_id          uuid    NOT NULL,
    global_position   bigint  NOT NULL,
    aggregate_version integer NOT NULL,
    tenant_id         text    NOT NULL,
    aggregate_name    text    NOT NULL,
    aggregate_id      text    NOT NULL,
    CONSTRAINT event_keys_pkey PRIMARY KEY (event_id),
    CONSTRAINT event_keys_version_key
        UNIQUE (tenant_id, aggregate_name, aggregate_id, aggregate_version)
        INCLUDE (global_position)
);

-- One row once partitions were asked for.
CREATE TABLE eventfabric.partitioning (
    one         boolean NOT NULL DEFAULT true CHECK (one),
    -- Positions in a partition.
    size        bigint  NOT NULL CHECK (size > 0),
    -- The events up to here have their keys, and all that were appended after keyed_until.
    keyed       bigint  NOT NULL DEFAULT 0,
    keyed_until bigint  NOT NULL DEFAULT 0,
    CONSTRAINT partitioning_pkey PRIMARY KEY (one)
);

-- Partitions that were taken out of the log and can be put back. Their events are from_position
-- and later, before to_position.
CREATE TABLE eventfabric.detached_partitions (
    name          text        NOT NULL,
    from_position bigint,
    to_position   bigint      NOT NULL,
    detached_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT detached_partitions_pkey PRIMARY KEY (name)
);

-- The partitions of the log; bounds are NULL where there is none.
CREATE VIEW eventfabric.event_partitions AS
SELECT c.oid, c.relname AS name, i.inhdetachpending AS detaching,
       b.bound = 'DEFAULT' AS is_default,
       (pg_catalog.regexp_match(b.bound, $$FROM \('?(-?\d+)'?\)$$))[1]::bigint AS from_position,
       (pg_catalog.regexp_match(b.bound, $$TO \('?(-?\d+)'?\)$$))[1]::bigint AS to_position
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound) b
WHERE i.inhparent = pg_catalog.to_regclass('eventfabric.events');

CREATE FUNCTION eventfabric.events_are_partitioned() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog
RETURN (SELECT c.relkind = 'p' FROM pg_catalog.pg_class c
        WHERE c.oid = pg_catalog.to_regclass('eventfabric.events'));

-- The greatest position that was given to an event.
CREATE FUNCTION eventfabric.last_position() RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog
RETURN (SELECT CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - 1 END
        FROM eventfabric.events_global_position_seq s);

-- Any writer's rows get their keys: SECURITY DEFINER, as a writer needs no right on the keys.
CREATE FUNCTION eventfabric.key_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $$
BEGIN
    INSERT INTO eventfabric.event_keys
           (event_id, global_position, aggregate_version, tenant_id, aggregate_name, aggregate_id)
    SELECT event_id, global_position, aggregate_version, tenant_id, aggregate_name, aggregate_id
    FROM added;
    RETURN NULL;
END
$$;

-- The triggers of a statement belong to the table that the statement names: each partition has them
-- as well, so that a row can't come in, nor all rows go, by the partition's own name.
CREATE FUNCTION eventfabric.guard_partition(partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER events_no_truncate BEFORE TRUNCATE ON %s
             FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.guard_events_truncate();
         CREATE OR REPLACE TRIGGER events_keys AFTER INSERT ON %s
             REFERENCING NEW TABLE AS added
             FOR EACH STATEMENT EXECUTE FUNCTION eventfabric.key_events()',
        partition, partition);
END
$$;

-- Has every event from now on write its key, and notes which older ones lack theirs. Writers wait
-- for a moment: SHARE ROW EXCLUSIVE on the log.
CREATE FUNCTION eventfabric.begin_keys(partition_size bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- Writes the keys of the next positions that lack them. Of two events with one id or one version
-- (possible only where a table without keys was partitioned) the first one has the key; the others
-- are counted.
CREATE FUNCTION eventfabric.continue_keys(positions bigint, OUT keyed bigint, OUT until bigint,
                                          OUT doubles bigint)
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- What stands on the log by its object, and would stay with the first partition instead.
CREATE FUNCTION eventfabric.stands_on_events() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog
BEGIN ATOMIC
    SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, 0)
    FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_constraint k
           ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjid = pg_catalog.to_regclass('eventfabric.events')
      AND (d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_policy'::regclass,
                         'pg_catalog.pg_publication_rel'::regclass)
           OR (d.classid = 'pg_catalog.pg_proc'::regclass)
           OR k.contype = 'f')
    UNION
    -- A promise that a partitioned table can't make: uniqueness without the position.
    SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::regclass, x.indexrelid, 0)
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_attribute a
      ON a.attrelid = x.indrelid AND a.attname = 'global_position'
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = x.indexrelid AND k.contype = 'u'
    WHERE x.indrelid = pg_catalog.to_regclass('eventfabric.events')
      AND x.indisunique AND NOT a.attnum = ANY (x.indkey)
      AND (k.oid IS NULL
           OR (SELECT array_agg(c.attname::text ORDER BY c.attname)
               FROM pg_catalog.pg_attribute c
               WHERE c.attrelid = x.indrelid AND c.attnum = ANY (k.conkey))
              NOT IN (ARRAY['event_id'],
                      ARRAY['aggregate_id', 'aggregate_name', 'aggregate_version', 'tenant_id']));
END;

-- Promises that no event of the log has this position or a greater one, and looks whether it holds:
-- the long part of making partitions, under a lock that keeps nobody from reading and writing. An
-- append that would reach the position fails; so it is far ahead, and the promise short-lived.
CREATE FUNCTION eventfabric.promise_border(border bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    ALTER TABLE eventfabric.events DROP CONSTRAINT IF EXISTS events_p0_range;
    EXECUTE format('ALTER TABLE eventfabric.events ADD CONSTRAINT events_p0_range
                        CHECK (global_position < %s) NOT VALID', border);
END
$$;

-- Makes the log a partitioned table: what there is becomes events_p0, what comes goes to events_p1
-- and further. Indexes, triggers, rights and the sequence go over to the new table under their
-- names. No row is written; none is read, either, where promise_border has looked. Everybody else
-- waits meanwhile: ACCESS EXCLUSIVE on the log.
CREATE FUNCTION eventfabric.partition_events() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- Makes one partition beside the log and hangs it in. The lock on the log is SHARE UPDATE EXCLUSIVE:
-- nobody who reads or writes waits for it. (CREATE TABLE … PARTITION OF would lock everybody out.)
CREATE FUNCTION eventfabric.make_partition(name text, from_position bigint, to_position bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- Makes partitions until there is room for this many beyond the last position, and says which. Many
-- may call it at once. A log whose last partition is open-ended, or that has no partitions, gets none.
CREATE FUNCTION eventfabric.create_partitions(ahead integer) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- After a partition was taken out (DETACH PARTITION … CONCURRENTLY can't run in here): it has lost the
-- guard of its rows, which was its parent's.
CREATE FUNCTION eventfabric.guard_detached(partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION eventfabric.guard_events()', partition);
END
$$;

-- Puts a partition back that was taken out. The lock on the log is SHARE UPDATE EXCLUSIVE; the rows
-- are not read, as the detached table has kept its bounds as a constraint.
CREATE FUNCTION eventfabric.attach_partition(partition_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
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
$$;

-- Fails where these versions of a stream are not all in the log because a partition was taken out of
-- it: half a stream must not be taken for a whole one.
CREATE FUNCTION eventfabric.require_attached(tenant text, aggregate text, id text,
                                             least_version integer, greatest_version integer)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog
AS $$
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
$$;

-- A log that the TypeScript library has partitioned gets its keys now: its table promises neither
-- ids nor versions any more. Doubles are kept, the first one has the key.
DO $$
DECLARE
    largest bigint;
    step record;
    doubles bigint := 0;
BEGIN
    IF NOT eventfabric.events_are_partitioned() THEN
        RETURN;
    END IF;
    SELECT max(p.to_position - p.from_position) INTO largest FROM eventfabric.event_partitions p;
    PERFORM eventfabric.begin_keys(coalesce(largest, 10000000));
    LOOP
        SELECT * INTO step FROM eventfabric.continue_keys(1000000);
        doubles := doubles + step.doubles;
        EXIT WHEN step.keyed >= step.until;
    END LOOP;
    IF doubles > 0 THEN
        RAISE WARNING '% events of the log have the id or the version of another one', doubles;
    END IF;
END
$$;
