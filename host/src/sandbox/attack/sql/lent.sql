-- Tables and functions of the operator. The attacker may read `places` and call `measure(bigint)`.
CREATE TABLE places (id bigint NOT NULL, n serial, name text, UNIQUE (id)) PARTITION BY RANGE (id);
CREATE TABLE places_1 PARTITION OF places FOR VALUES FROM (0) TO (100);
INSERT INTO places (id, name) VALUES (1, 'here');
CREATE TABLE hidden (id bigint PRIMARY KEY, s text);
CREATE FUNCTION measure(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE FUNCTION measure(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN $1;
REVOKE ALL ON FUNCTION measure(text) FROM PUBLIC;
CREATE FUNCTION powerful() RETURNS text LANGUAGE sql SECURITY DEFINER STABLE RETURN 'all';
REVOKE ALL ON FUNCTION powerful() FROM PUBLIC;
CREATE OPERATOR <~> (FUNCTION = measure, RIGHTARG = bigint);
