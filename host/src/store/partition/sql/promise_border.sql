-- Promises that all positions are below $1, for now of new rows.
SELECT eventfabric.promise_border($1)::text AS done
