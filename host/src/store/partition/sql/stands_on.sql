-- What would not go over to a partitioned log: views, foreign keys, publications.
SELECT s AS "object!" FROM eventfabric.stands_on_events() s ORDER BY s
