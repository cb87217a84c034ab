-- Positions in each partition that is made from now on.
UPDATE eventfabric.partitioning SET size = $1
