-- Tables whose rows come and go, or change all the time, are vacuumed by a number of rows and not by a
-- share of the table: a share of a table that was large once is never reached, and a share of one that is
-- empty most of the time says nothing. And without pauses: what is vacuumed so often is soon done.
-- (docs/performance.md, "Retention", has what it was measured by.)

-- Every event is a row that is inserted once and deleted once.
ALTER TABLE eventfabric.outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0);

-- Each attempt is an update of an indexed column, so no room on the page would make it a HOT one.
ALTER TABLE eventfabric.projection_retries SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

-- Few rows, each updated by every batch. With room on its page an update touches no index and the next
-- one clears up after it.
ALTER TABLE eventfabric.projection_checkpoints SET (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0);

-- A row a stream, updated by each append to it; a table that grows. Little room is enough, as the next update
-- on the page clears up after the last one.
ALTER TABLE eventfabric.stream_versions SET (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 1);
