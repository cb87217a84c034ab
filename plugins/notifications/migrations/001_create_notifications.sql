-- What is to be sent to the owners of accounts: one row an event, so that a repeat changes nothing.
CREATE TABLE notifications (
    position bigint PRIMARY KEY,
    account  text        NOT NULL,
    message  text        NOT NULL,
    at       timestamptz NOT NULL
);
