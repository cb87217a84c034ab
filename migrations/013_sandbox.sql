-- What the sandbox knows of each plugin: the schema that it made, the migrations that ran there,
-- and the statements that were judged and made into functions.

CREATE TABLE eventfabric.plugin_schemas (
    schema_name text        NOT NULL,
    plugin_name text        NOT NULL,
    -- Owns the schema and runs the migrations.
    owner_role  text        NOT NULL,
    -- Owns the functions; may do DML on the schema's tables and nothing else.
    exec_role   text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plugin_schemas_pkey PRIMARY KEY (schema_name)
);

CREATE TABLE eventfabric.plugin_migrations (
    schema_name text        NOT NULL,
    number      integer     NOT NULL CHECK (number > 0),
    name        text        NOT NULL,
    sha256      text        NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plugin_migrations_pkey PRIMARY KEY (schema_name, number),
    CONSTRAINT plugin_migrations_schema_fkey FOREIGN KEY (schema_name)
        REFERENCES eventfabric.plugin_schemas (schema_name) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE eventfabric.plugin_statements (
    schema_name   text        NOT NULL,
    sha256        text        NOT NULL,
    statement     text        NOT NULL,
    function_name text        NOT NULL,
    -- Parameters, columns, relations: what the host must know to call it.
    description   jsonb       NOT NULL,
    -- The version of the rules that it was judged by.
    policy        integer     NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plugin_statements_pkey PRIMARY KEY (schema_name, sha256),
    CONSTRAINT plugin_statements_schema_fkey FOREIGN KEY (schema_name)
        REFERENCES eventfabric.plugin_schemas (schema_name) ON DELETE CASCADE ON UPDATE CASCADE
);

-- The functions made of plugins' statements. Nobody but the host gets in.
CREATE SCHEMA eventfabric_calls;
REVOKE ALL ON SCHEMA eventfabric_calls FROM PUBLIC;
