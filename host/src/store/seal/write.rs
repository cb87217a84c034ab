//! Seals the events of an append in its own transaction. The rows of their streams are locked by it,
//! so nobody else can seal the next event of one of them.

use sqlx::PgConnection;

use super::Seal;
use super::chain::{Content, Link};
use crate::event::StreamId;

/// Seals what this transaction has written at these positions: two statements.
pub(in crate::store) async fn seal(
    seal: &Seal,
    conn: &mut PgConnection,
    positions: &[i64],
) -> sqlx::Result<()> {
    // As they are stored now: PostgreSQL has its own spelling of JSON, and of times.
    let rows = sqlx::query_file!("src/store/seal/sql/sealed_next.sql", positions)
        .fetch_all(&mut *conn)
        .await?;
    let (key_id, mac) = seal.current();
    let (mut tenants, mut aggregates, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut versions, mut previous) = (Vec::new(), Vec::new());
    let (mut at, mut seals) = (Vec::new(), Vec::new());
    let mut last: Option<(StreamId, Link)> = None;
    for row in rows {
        let stream = StreamId { tenant: row.tenant, aggregate: row.aggregate, id: row.id };
        let before = match last.take() {
            Some((same, link)) if same == stream => link,
            _ => match (row.sealed, row.mac.and_then(|mac| mac.try_into().ok())) {
                (Some(version), Some(seal)) => Link { version, seal },
                _ => Link::default(),
            },
        };
        let event = Content {
            stream: &stream,
            version: row.version,
            position: row.position,
            event_id: row.event_id,
            event_type: &row.event_type,
            schema_version: row.schema_version,
            payload: &row.payload,
            occurred_at: row.occurred_at,
            correlation_id: row.correlation_id.as_deref(),
            causation_id: row.causation_id.as_deref(),
        };
        let bytes = mac.seal(before, &event);
        tenants.push(stream.tenant.clone());
        aggregates.push(stream.aggregate.clone());
        ids.push(stream.id.clone());
        versions.push(row.version);
        previous.push(before.version);
        at.push(row.position);
        seals.push(bytes.to_vec());
        last = Some((stream, Link { version: row.version, seal: bytes }));
    }
    sqlx::query_file!(
        "src/store/seal/sql/write.sql",
        key_id,
        &tenants,
        &aggregates,
        &ids,
        &versions,
        &previous,
        &at,
        &seals
    )
    .execute(conn)
    .await?;
    Ok(())
}
