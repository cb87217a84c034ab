-- Grants of servers, which reactors may send requests to.

ALTER TABLE eventfabric.plugin_grants
    DROP CONSTRAINT plugin_grants_kind_check,
    -- http, https: a server, as HOST:PORT.
    ADD CONSTRAINT plugin_grants_kind_check
        CHECK (kind IN ('read', 'call', 'call-definer', 'append', 'http', 'https'));
