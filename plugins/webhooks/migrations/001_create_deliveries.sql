CREATE TABLE deliveries (
    event_id    uuid    PRIMARY KEY,
    type        text    NOT NULL,
    status      integer NOT NULL,
    -- By the clock of the server, as it told it.
    answered_at text
);
