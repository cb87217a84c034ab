-- Whether this session is the one that partitions the log ("ef-enabl" in ASCII); ends with it.
SELECT pg_catalog.pg_try_advisory_lock(7306577359122031212) AS "locked!"
