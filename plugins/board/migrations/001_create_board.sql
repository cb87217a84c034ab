CREATE TABLE board (
    scheduled timestamptz NOT NULL,
    carrier   text        NOT NULL,
    flight    integer     NOT NULL,
    origin    text        NOT NULL,
    dest      text        NOT NULL,
    aircraft  text        NOT NULL,
    status    text        NOT NULL
        CHECK (status IN ('departed', 'arrived', 'diverted', 'cancelled')),
    dep_delay integer,
    arr_delay integer,
    changed   timestamptz NOT NULL,
    position  bigint      NOT NULL,
    PRIMARY KEY (scheduled, carrier, flight, origin)
);

CREATE INDEX board_by_airport ON board (origin, scheduled);

COMMENT ON TABLE board IS 'The departure board: the state of each flight';
COMMENT ON COLUMN board.scheduled IS 'Departure by the timetable; with carrier, number and origin it names a flight';
COMMENT ON COLUMN board.aircraft IS 'Tail number, or ''unknown''';
COMMENT ON COLUMN board.dep_delay IS 'Minutes; negative when early';
COMMENT ON COLUMN board.arr_delay IS 'Minutes; negative when early';
COMMENT ON COLUMN board.position IS 'The place in the log of the event that was handled last';
