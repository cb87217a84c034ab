-- Has others who register the same relay ($1) wait until this transaction has ended. The first number says whose
-- lock it is.
SELECT pg_catalog.pg_advisory_xact_lock(1702258227, pg_catalog.hashtext($1))
