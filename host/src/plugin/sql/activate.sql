-- Makes a version the active one: $1 projection, $2 mode, $3 SHA-256. Uses projections_pkey.
INSERT INTO eventfabric.projections AS p (projection_name, mode, active_sha256)
VALUES ($1, $2, $3)
ON CONFLICT (projection_name) DO UPDATE
    SET mode = excluded.mode, active_sha256 = excluded.active_sha256,
        generation = p.generation + 1, state = 'running', last_error = NULL, activated_at = now()
RETURNING generation
