-- Which relays a host has the settings of, each with the version that these are: only such a host is to do their work.
ALTER TABLE eventfabric.hosts ADD COLUMN relays text[] NOT NULL DEFAULT '{}';
