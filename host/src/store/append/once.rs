//! Appends under a key of the caller, made once however often they are asked for.

use uuid::Uuid;

use super::columns::Columns;
use super::prepared::Prepared;
use super::{Append, Appended};
use crate::event::ExpectedVersion;
use crate::store::{EventStore, StoreError};

/// What the ids of events under a key are made from. It never changes.
const NAMESPACE: Uuid = Uuid::from_u128(0x8c1d_5a0e_3f5b_4d57_9a53_1f0c_6b7e_2d94);

impl EventStore {
    /// Appends under a key, such as a client's `Idempotency-Key`: the same append under the same
    /// key of the same tenant changes nothing and answers as the first time, at any later time. The
    /// events have ids that follow from the key.
    ///
    /// # Errors
    /// As [`EventStore::append`], and [`StoreError::KeyReused`] when the key belongs to another
    /// append: to another stream, to other events, or to an expectation that the first append can't
    /// have had.
    pub async fn append_once(&self, key: &str, append: Append) -> Result<Appended, StoreError> {
        if append.events.iter().any(|event| event.id.is_some()) {
            return Err(StoreError::InvalidAppend(format!(
                "{}: an event id is given beside a key, which gives ids of its own; leave out one \
                 of the two",
                append.stream
            )));
        }
        let mut append = append;
        let tenant = append.stream.tenant.clone();
        for (index, event) in append.events.iter_mut().enumerate() {
            event.id = Some(id(&tenant, key, index));
        }
        let after = id(&tenant, key, append.events.len());
        let again = append.clone();
        let reused = || StoreError::KeyReused { stream: again.stream.clone() };
        match self.append_all(vec![append]).await {
            Ok(appended) if appended.repeated => {
                let first = appended.events.first().map_or(0, |event| event.version - 1);
                let (least, greatest) = again.expected.range();
                let expected = (least..=greatest).contains(&first);
                if expected && self.is_as_stored(again.clone(), after).await? {
                    return Ok(appended);
                }
                Err(reused())
            }
            Err(StoreError::DuplicateEvent { .. } | StoreError::EventIdTaken { .. }) => {
                Err(reused())
            }
            // The stream may be ahead because of this key, with fewer events.
            Err(conflict @ StoreError::Conflict { .. }) => {
                match self.known_ids(&[id(&tenant, key, 0)]).await?.is_empty() {
                    true => Err(conflict),
                    false => Err(reused()),
                }
            }
            other => other,
        }
    }

    /// Whether the events of an append are in the log exactly as they are given, and none has this
    /// id.
    async fn is_as_stored(&self, append: Append, none: Uuid) -> Result<bool, StoreError> {
        let append = Append { expected: ExpectedVersion::Any, ..append };
        let prepared = Prepared::new(vec![append])?;
        let columns = Columns::of([&prepared]);
        let row = sqlx::query_file!(
            "src/store/sql/append_same.sql",
            &columns.event_ids,
            &columns.types,
            &columns.schema_versions,
            &columns.payloads,
            &columns.occurred_at as &[Option<chrono::DateTime<chrono::Utc>>],
            &columns.correlation_ids as &[Option<String>],
            &columns.causation_ids as &[Option<String>],
            none,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.same)
    }
}

/// The id of an event under a key. NUL is in none of the parts.
fn id(tenant: &str, key: &str, index: usize) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{tenant}\0{key}\0{index}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_tenant_key_and_place() {
        assert_eq!(id("a", "k", 0), id("a", "k", 0));
        let all = [id("a", "k", 0), id("a", "k", 1), id("b", "k", 0), id("a", "l", 0)];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
        // Ids that have been given are in databases: they must not change.
        assert_eq!(id("default", "k", 0).to_string(), "67eb6f1d-3382-5925-a6ad-71a5e3d92404");
    }
}
