CREATE TABLE carriers (
    carrier           text PRIMARY KEY,
    departed          bigint NOT NULL,
    arrived           bigint NOT NULL,
    diverted          bigint NOT NULL,
    cancelled         bigint NOT NULL,
    arr_delay_minutes bigint NOT NULL
);

COMMENT ON TABLE carriers IS 'How many flights each carrier had, by outcome';
COMMENT ON COLUMN carriers.arr_delay_minutes IS 'Sum over all arrivals; early ones count as negative';
