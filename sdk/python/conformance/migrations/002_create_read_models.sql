CREATE TABLE counters (
    area text   NOT NULL,
    key  text   NOT NULL,
    n    bigint NOT NULL,
    last bigint,
    PRIMARY KEY (area, key)
);

CREATE TABLE labels (
    key   text PRIMARY KEY,
    label text
);
