-- Deletes dead letters for good: $1 ids, $2 projection, $3 tenant, $4 older than this one, $5 class
-- of the error, positions from $6 to $7, given up from $8 on and before $9, each NULL for all.
DELETE FROM eventfabric.outbox_dead_letters d
WHERE ($1::bigint[] IS NULL OR d.id = ANY ($1))
  AND ($2::text IS NULL OR d.projection_name = $2)
  AND ($3::text IS NULL OR d.tenant_id = $3)
  AND ($4::bigint IS NULL OR d.id < $4)
  AND ($5::text IS NULL OR d.error_class = $5)
  AND ($6::bigint IS NULL OR d.global_position >= $6)
  AND ($7::bigint IS NULL OR d.global_position <= $7)
  AND ($8::timestamptz IS NULL OR d.dead_lettered_at >= $8)
  AND ($9::timestamptz IS NULL OR d.dead_lettered_at < $9)
