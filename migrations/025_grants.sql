-- What an operator lets plugins use beyond their own schemas, and which statements each version of a
-- plugin uses.

CREATE TABLE eventfabric.plugin_grants (
    plugin_name text        NOT NULL,
    -- read: a table or view, or all of a plugin's schema; call: a function; call-definer: one that runs
    -- with the rights of its owner.
    kind        text        NOT NULL CHECK (kind IN ('read', 'call', 'call-definer')),
    -- As the server writes it: schema.relation, schema.* or schema.function(types).
    target      text        NOT NULL,
    granted_at  timestamptz NOT NULL DEFAULT now(),
    granted_by  text,
    CONSTRAINT plugin_grants_pkey PRIMARY KEY (plugin_name, kind, target)
);

-- What a version has used stays its own when the function of a statement is dropped and made again.
CREATE TABLE eventfabric.plugin_manifests (
    plugin_name text        NOT NULL,
    -- The SHA-256 of the plugin.
    version     text        NOT NULL,
    -- That of the statement.
    sha256      text        NOT NULL,
    statement   text        NOT NULL,
    learnt_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT plugin_manifests_pkey PRIMARY KEY (plugin_name, version, sha256)
);

INSERT INTO eventfabric.plugin_manifests (plugin_name, version, sha256, statement)
SELECT p.plugin_name, v.version, s.sha256, s.statement
FROM eventfabric.plugin_statements s
JOIN eventfabric.plugin_schemas p ON p.schema_name = s.schema_name,
     jsonb_array_elements_text(coalesce(s.description -> 'versions', '[]')) AS v (version)
ON CONFLICT DO NOTHING;
