//! How far a catch-up projection has come. The lock on a checkpoint is the lease on its work: it
//! ends with the transaction, and so with the session of a host that dies.
//!
//! A tenant's events are one shard, whose checkpoint is in `projection_checkpoints`, or several, with
//! checkpoints in `projection_shards`.

use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::event::Shard;

/// How far a projection has come in the events of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The tenant.
    pub tenant: String,
    /// Everything of this tenant up to here is handled.
    pub position: i64,
}

/// One checkpoint: whose, and of which events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The projection.
    pub projection: String,
    /// The tenant.
    pub tenant: String,
    /// The part of the tenant's streams.
    pub shard: Shard,
}

/// What a transaction that moves a checkpoint leaves for people to see.
#[derive(Debug, Clone, Copy)]
pub struct Mover<'a> {
    /// The version of the plugin, in hex.
    pub version: &'a str,
    /// The host, by its name.
    pub host: &'a str,
}

/// A checkpoint that is moved although nothing was handled: no event concerns the projection after
/// `base` and up to `upto`.
#[derive(Debug, Clone)]
pub struct IdleMove {
    /// The checkpoint; it is moved when it is at `base` or later.
    pub place: Place,
    /// The activation of the projection that says which events concern it.
    pub generation: i64,
    /// From where on.
    pub base: i64,
    /// Up to where.
    pub upto: i64,
    /// The version of the plugin, in hex.
    pub version: String,
}

/// All checkpoints of a projection.
pub async fn checkpoints(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Vec<Checkpoint>> {
    sqlx::query_file_as!(Checkpoint, "src/store/sql/checkpoints.sql", projection)
        .fetch_all(executor)
        .await
}

/// Makes the checkpoint of a tenant at this position, where it has none. Answers whether it did, and
/// in how many shards the tenant is; nothing while another host is making it.
pub async fn create_checkpoint(
    executor: impl PgExecutor<'_>,
    projection: &str,
    tenant: &str,
    position: i64,
) -> sqlx::Result<Option<(bool, i32)>> {
    let row =
        sqlx::query_file!("src/store/sql/checkpoint_create.sql", projection, tenant, position)
            .fetch_optional(executor)
            .await?;
    Ok(row.map(|row| (row.created, row.shards)))
}

/// Locks a checkpoint for the rest of the transaction. `None` when another host works on it, when it
/// is not there, when the tenant is in other shards, or when `generation` is no longer the projection's
/// activation.
pub async fn lock_checkpoint(
    conn: &mut PgConnection,
    place: &Place,
    generation: i64,
) -> sqlx::Result<Option<i64>> {
    let Place { projection, tenant, shard } = place;
    if shard.is_all() {
        let row =
            sqlx::query_file!("src/store/sql/checkpoint_lock.sql", projection, tenant, generation)
                .fetch_optional(conn)
                .await?;
        return Ok(row.map(|row| row.last_global_position));
    }
    let row = sqlx::query_file!(
        "src/store/sql/shard_lock.sql",
        projection,
        tenant,
        generation,
        shard.index,
        shard.count
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.last_global_position))
}

/// Moves a checkpoint that this transaction has locked.
pub async fn save_checkpoint(
    conn: &mut PgConnection,
    place: &Place,
    position: i64,
    mover: Mover<'_>,
) -> sqlx::Result<()> {
    let Place { projection, tenant, shard } = place;
    if shard.is_all() {
        sqlx::query_file!(
            "src/store/sql/checkpoint_save.sql",
            projection,
            tenant,
            position,
            mover.version,
            mover.host
        )
        .execute(conn)
        .await?;
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/sql/shard_save.sql",
        projection,
        tenant,
        position,
        mover.version,
        mover.host,
        shard.index
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where a checkpoint stands, whoever works on it. `None` where there is none.
pub async fn look_at_checkpoint(
    executor: impl PgExecutor<'_>,
    place: &Place,
) -> sqlx::Result<Option<i64>> {
    let row = sqlx::query_file!(
        "src/store/sql/checkpoint_look.sql",
        place.projection,
        place.tenant,
        place.shard.index
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| row.position))
}

/// What moving checkpoints has left.
#[derive(Debug, Default)]
pub struct IdleMoved {
    /// What was not moved because somebody works on it.
    pub left: Vec<IdleMove>,
    /// Whether a checkpoint stands before its [`IdleMove::base`]; it was not moved.
    pub taken_back: bool,
}

/// Moves checkpoints past what does not concern their projections. Those that were moved otherwise are done
/// with.
pub async fn move_idle(pool: &PgPool, moves: Vec<IdleMove>, host: &str) -> sqlx::Result<IdleMoved> {
    let (whole, parted): (Vec<_>, Vec<_>) =
        moves.into_iter().partition(|idle| idle.place.shard.is_all());
    let mut moved = IdleMoved::default();
    for (moves, in_shards) in [(whole, false), (parted, true)] {
        if moves.is_empty() {
            continue;
        }
        let projections: Vec<_> = moves.iter().map(|m| m.place.projection.clone()).collect();
        let tenants: Vec<_> = moves.iter().map(|m| m.place.tenant.clone()).collect();
        let generations: Vec<_> = moves.iter().map(|m| m.generation).collect();
        let bases: Vec<_> = moves.iter().map(|m| m.base).collect();
        let uptos: Vec<_> = moves.iter().map(|m| m.upto).collect();
        let versions: Vec<_> = moves.iter().map(|m| m.version.clone()).collect();
        let found: Vec<(i64, bool)> = if in_shards {
            let rows = sqlx::query_file!(
                "src/store/sql/shard_idle.sql",
                &projections,
                &tenants,
                &generations,
                &bases,
                &uptos,
                &versions,
                host,
                &moves.iter().map(|m| m.place.shard.index).collect::<Vec<_>>(),
                &moves.iter().map(|m| m.place.shard.count).collect::<Vec<_>>()
            );
            rows.fetch_all(pool).await?.into_iter().map(|row| (row.n, row.taken_back)).collect()
        } else {
            let rows = sqlx::query_file!(
                "src/store/sql/checkpoint_idle.sql",
                &projections,
                &tenants,
                &generations,
                &bases,
                &uptos,
                &versions,
                host
            );
            rows.fetch_all(pool).await?.into_iter().map(|row| (row.n, row.taken_back)).collect()
        };
        for (n, taken_back) in found {
            match taken_back {
                true => moved.taken_back = true,
                false => moved.left.extend(moves.get(n as usize - 1).cloned()),
            }
        }
    }
    Ok(moved)
}

/// How a tenant's events are parted, locked for the rest of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// In how many shards.
    pub shards: i32,
    /// Where each of them stands, by its index.
    pub positions: Vec<i64>,
}

/// Locks all checkpoints of a tenant for the rest of the transaction. `None` as in
/// [`lock_checkpoint`].
pub async fn lock_layout(
    conn: &mut PgConnection,
    projection: &str,
    tenant: &str,
    generation: i64,
) -> sqlx::Result<Option<Layout>> {
    let row = sqlx::query_file!("src/store/sql/layout_lock.sql", projection, tenant, generation)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.shards == 1 {
        return Ok(Some(Layout { shards: 1, positions: vec![row.position] }));
    }
    let rows = sqlx::query_file!("src/store/sql/shards_lock.sql", projection, tenant)
        .fetch_all(conn)
        .await?;
    let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
    // Fewer: somebody works on one of them.
    let all = positions.len() == row.shards as usize;
    Ok(all.then_some(Layout { shards: row.shards, positions }))
}

/// Parts a tenant into so many shards, all of them at this position. Its layout is locked.
pub async fn change_layout(
    conn: &mut PgConnection,
    projection: &str,
    tenant: &str,
    position: i64,
    shards: i32,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/store/sql/layout_change.sql", projection, tenant, position, shards)
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves all checkpoints of a projection, those of `tenants` included that have none yet, and forgets
/// which later events it was to try again or has given up. Waits for batches that are on their way, but
/// for those of relays.
/// Answers the position, which is at most the end of the log.
pub async fn reset_checkpoints(
    conn: &mut PgConnection,
    projection: &str,
    position: i64,
    tenants: &[String],
) -> sqlx::Result<i64> {
    let row =
        sqlx::query_file!("src/store/sql/checkpoint_reset.sql", projection, position, tenants)
            .fetch_one(&mut *conn)
            .await?;
    sqlx::query_file!("src/store/sql/checkpoint_reset_open.sql", projection, row.position)
        .execute(conn)
        .await?;
    Ok(row.position)
}
