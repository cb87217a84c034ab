CREATE TABLE accounts (id text PRIMARY KEY, tenant text NOT NULL, cents bigint NOT NULL, rate numeric, opened timestamptz NOT NULL);
