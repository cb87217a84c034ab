-- A host says goodbye. Uses hosts_pkey.
DELETE FROM eventfabric.hosts WHERE host_id = $1
