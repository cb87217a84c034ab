CREATE TABLE aircraft (
    aircraft     text PRIMARY KEY,
    last_airport text   NOT NULL,
    legs         bigint NOT NULL,
    ferried      bigint NOT NULL,
    air_minutes  bigint NOT NULL
);

COMMENT ON TABLE aircraft IS 'Where each aircraft was last, and what it flew';
COMMENT ON COLUMN aircraft.aircraft IS 'Tail number; ''unknown'' stands for all flights without one';
COMMENT ON COLUMN aircraft.last_airport IS 'Empty as long as no departure or arrival is known';
COMMENT ON COLUMN aircraft.ferried IS 'Departures from another airport than the one it was last at';
