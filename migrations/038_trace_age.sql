-- Since when a trace is stored with its event, so that old ones can be forgotten. Those that are there count from now on.
ALTER TABLE eventfabric.event_traces ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now();
