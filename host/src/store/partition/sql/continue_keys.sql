-- Writes the keys of the next $1 positions that lack them.
SELECT keyed AS "keyed!", until AS "until!", doubles AS "doubles!"
FROM eventfabric.continue_keys($1)
