-- The schemas that appends are checked against, with the number of this state; one row without a
-- schema where there is none.
SELECT g.generation,
       s.event_type AS "event_type?", s.schema_version AS "schema_version?",
       s.schema AS "schema?: Json<Value>"
FROM eventfabric.event_schemas_generation g
LEFT JOIN eventfabric.event_schemas s ON s.enforced
