CREATE TABLE transfers (
    id       text   PRIMARY KEY,
    payer    text   NOT NULL,
    payee    text   NOT NULL,
    amount   bigint NOT NULL,
    -- Why it was refused; NULL: it was completed.
    refused  text
);
