-- A snapshot that is to be made anew from the events is not used until a program that knows the
-- aggregate has done so.

ALTER TABLE eventfabric.snapshots ADD COLUMN rebuild_requested_at timestamptz;
