-- What the samples of statements use.
CREATE TYPE pg_temp.pair AS (x int, y int);
CREATE TEMPORARY TABLE t (
    id bigint PRIMARY KEY, a int[], b boolean, txt text DEFAULT 'd', p pg_temp.pair, j jsonb);
CREATE TEMPORARY TABLE parent (id int);
CREATE TEMPORARY TABLE child (extra int) INHERITS (parent);
