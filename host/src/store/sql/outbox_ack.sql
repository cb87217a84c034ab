-- Takes delivered rows out of the outbox. Uses outbox_pkey.
DELETE FROM eventfabric.outbox WHERE id = ANY ($1::bigint[])
