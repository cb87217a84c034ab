CREATE TABLE accounts (
    account text   PRIMARY KEY,
    owner   text   NOT NULL,
    cents   bigint NOT NULL
);

COMMENT ON TABLE accounts IS 'The balance of each account';
