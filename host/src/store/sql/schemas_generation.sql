-- The number of the state that the registered schemas have.
SELECT generation FROM eventfabric.event_schemas_generation
