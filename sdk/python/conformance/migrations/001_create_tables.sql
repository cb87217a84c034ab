CREATE TYPE mood AS ENUM ('good', 'bad');

CREATE TABLE written (
    name              text PRIMARY KEY,
    bool              boolean,
    int16             smallint,
    int32             integer,
    int64             bigint,
    float32           real,
    float64           double precision,
    "numeric"         numeric,
    text              text,
    bytes             bytea,
    uuid              uuid,
    timestamptz       timestamptz,
    date              date,
    json              jsonb,
    mood              mood,
    span              interval,
    bool_array        boolean[],
    int16_array       smallint[],
    int32_array       integer[],
    int64_array       bigint[],
    float32_array     real[],
    float64_array     double precision[],
    numeric_array     numeric[],
    text_array        text[],
    bytes_array       bytea[],
    uuid_array        uuid[],
    timestamptz_array timestamptz[],
    date_array        date[],
    json_array        jsonb[]
);

-- What was read from `written`, and written again.
CREATE TABLE echoed (
    name              text PRIMARY KEY,
    bool              boolean,
    int16             smallint,
    int32             integer,
    int64             bigint,
    float32           real,
    float64           double precision,
    "numeric"         numeric,
    text              text,
    bytes             bytea,
    uuid              uuid,
    timestamptz       timestamptz,
    date              date,
    json              jsonb,
    mood              mood,
    span              interval,
    bool_array        boolean[],
    int16_array       smallint[],
    int32_array       integer[],
    int64_array       bigint[],
    float32_array     real[],
    float64_array     double precision[],
    numeric_array     numeric[],
    text_array        text[],
    bytes_array       bytea[],
    uuid_array        uuid[],
    timestamptz_array timestamptz[],
    date_array        date[],
    json_array        jsonb[]
);

-- The same as the language's own text of it.
CREATE TABLE shown (
    name text PRIMARY KEY,
    shown jsonb NOT NULL
);

CREATE TABLE numbers (
    position bigint PRIMARY KEY,
    n        bigint NOT NULL
);

CREATE TABLE notes (
    position bigint PRIMARY KEY,
    text     text NOT NULL
);

CREATE TABLE prices (
    position bigint PRIMARY KEY,
    cents    bigint NOT NULL
);

CREATE TABLE events (
    position       bigint PRIMARY KEY,
    id             uuid NOT NULL,
    tenant         text NOT NULL,
    aggregate      text NOT NULL,
    aggregate_id   text NOT NULL,
    version        integer NOT NULL,
    event_type     text NOT NULL,
    schema_version integer NOT NULL,
    payload        jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL,
    correlation_id text,
    causation_id   text
);
