-- Appends events to many streams, each for a caller of its own: what the guard of one stream does
-- not let in is left out, and no row comes back for it; the others are written. The outbox rows
-- with them. Nothing at all is written when the inline plugins or the schemas have changed.
--
-- A stream that another transaction holds is left out as well: all of these callers would wait for
-- that one.
--
-- $1..$4 the streams, each once, sorted by their key: tenant, aggregate, id, topic
-- $5     how many events each stream gets
-- $6 $7  least and greatest current version of each stream
-- $8     the inline plugins that the writer knows, see mode_epoch.sql
-- $9..   the events, in order: stream (index into $1, from 1), place among the events of its
--        stream (from 1), id, type, schema version, payload, occurred at, correlation, causation
-- $18    milliseconds that it may wait for a lock. (Set here, as that would be another round trip; it is
--        read first, and ends with the transaction.)
-- $19    the schemas that the events were checked against, see schemas_enforced.sql
-- $20 $21 the traces of the events, in their order: traceparent, tracestate; empty where none has one
-- Uses stream_versions_pkey.
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', $18, true) AS milliseconds
),
streams AS MATERIALIZED (
    SELECT s.*,
           EXISTS (SELECT FROM eventfabric.stream_versions e
                   WHERE e.tenant_id = s.tenant_id
                     AND e.aggregate_name = s.aggregate_name
                     AND e.aggregate_id = s.aggregate_id) AS there
    FROM patience
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[])
         WITH ORDINALITY
         AS s (tenant_id, aggregate_name, aggregate_id, topic, added, least, greatest, n)
      ON milliseconds IS NOT NULL
    WHERE (SELECT coalesce(sum(p.generation), 0)::bigint
           FROM eventfabric.projections p
           WHERE p.mode = 'inline') = $8::bigint
      AND (SELECT g.generation FROM eventfabric.event_schemas_generation g) = $19::bigint
),
held AS MATERIALIZED (
    SELECT s.n
    FROM eventfabric.stream_versions v
    JOIN streams s USING (tenant_id, aggregate_name, aggregate_id)
    WHERE s.there
    FOR UPDATE OF v SKIP LOCKED
),
guard AS (
    INSERT INTO eventfabric.stream_versions AS v
           (tenant_id, aggregate_name, aggregate_id, current_version)
    SELECT s.tenant_id, s.aggregate_name, s.aggregate_id, s.added
    FROM streams s
    WHERE CASE WHEN s.there THEN s.n IN (SELECT h.n FROM held h) ELSE s.least = 0 END
    ORDER BY s.n
    ON CONFLICT (tenant_id, aggregate_name, aggregate_id) DO UPDATE
        SET current_version = v.current_version + excluded.current_version,
            updated_at = now()
        WHERE EXISTS (SELECT FROM streams s
                      WHERE s.tenant_id = v.tenant_id
                        AND s.aggregate_name = v.aggregate_name
                        AND s.aggregate_id = v.aggregate_id
                        AND v.current_version BETWEEN s.least AND s.greatest)
    RETURNING v.tenant_id, v.aggregate_name, v.aggregate_id, v.current_version
),
inserted AS (
    INSERT INTO eventfabric.events
           (event_id, tenant_id, aggregate_name, aggregate_id, aggregate_version, type, version,
            payload, occurred_at, correlation_id, causation_id)
    SELECT e.event_id, s.tenant_id, s.aggregate_name, s.aggregate_id,
           g.current_version - s.added + e.nth, e.type, e.version,
           e.payload::jsonb, coalesce(e.occurred_at, now()), e.correlation_id, e.causation_id
    FROM unnest($9::int[], $10::int[], $11::uuid[], $12::text[], $13::int[], $14::text[],
                $15::timestamptz[], $16::text[], $17::text[]) WITH ORDINALITY
         AS e (stream, nth, event_id, type, version, payload, occurred_at, correlation_id,
               causation_id, n)
    JOIN streams s ON s.n = e.stream
    JOIN guard g USING (tenant_id, aggregate_name, aggregate_id)
    ORDER BY e.n
    RETURNING global_position, event_id, tenant_id, aggregate_name, aggregate_id,
              aggregate_version, occurred_at
),
queued AS (
    INSERT INTO eventfabric.outbox (global_position, topic, tenant_id)
    SELECT i.global_position, s.topic, i.tenant_id
    FROM inserted i
    JOIN streams s USING (tenant_id, aggregate_name, aggregate_id)
    ORDER BY i.global_position
),
traced AS (
    INSERT INTO eventfabric.event_traces (global_position, traceparent, tracestate)
    SELECT i.global_position, t.traceparent, t.tracestate
    FROM unnest($11::uuid[], $20::text[], $21::text[]) AS t (event_id, traceparent, tracestate)
    JOIN inserted i USING (event_id)
    WHERE t.traceparent IS NOT NULL
    -- Of a log that has begun anew.
    ON CONFLICT (global_position)
    DO UPDATE SET traceparent = excluded.traceparent, tracestate = excluded.tracestate
)
SELECT global_position AS "position!", event_id AS "id!", aggregate_version AS "version!",
       occurred_at AS "occurred_at!"
FROM inserted
ORDER BY global_position
