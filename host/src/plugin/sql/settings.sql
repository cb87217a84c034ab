-- Changes what was decided for a projection; NULL leaves it: $2 shards, $3 on poison, $4 order of the
-- stream, $5 topics (JSON null: as the plugin says), $6 priority. Uses projections_pkey.
UPDATE eventfabric.projections
SET shards = coalesce($2, shards),
    on_poison = coalesce($3, on_poison),
    stream_order = coalesce($4, stream_order),
    topics = CASE WHEN $5::jsonb IS NULL THEN topics
                  WHEN jsonb_typeof($5::jsonb) = 'null' THEN NULL
                  ELSE $5::jsonb END,
    priority = coalesce($6, priority),
    generation = generation + 1
WHERE projection_name = $1
RETURNING generation
