-- The tables of the plugin from which attacks are tried.
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE accounts (
    id bigint PRIMARY KEY, owner text, balance bigint NOT NULL DEFAULT 0, mood mood,
    opened timestamptz, data jsonb);
CREATE TABLE lines (
    n bigserial PRIMARY KEY, account bigint REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
    amount bigint CHECK (amount <> 13));
