//! What the API counts.

use metrics::counter;

use crate::store::{Appended, StoreError};

/// An append was answered.
pub(super) fn appended(appended: &Appended) {
    if appended.repeated {
        counter!("eventfabric_appends_repeated_total").increment(1);
    } else {
        counter!("eventfabric_appends_total").increment(1);
        counter!("eventfabric_appended_events_total").increment(appended.events.len() as u64);
    }
}

/// An append was refused, or failed.
pub(super) fn not_appended(error: &StoreError) {
    let reason = match error {
        StoreError::Conflict { .. } => "conflict",
        StoreError::DuplicateEvent { .. }
        | StoreError::EventIdTaken { .. }
        | StoreError::KeyReused { .. } => "duplicate",
        StoreError::Inline(_) => "inline",
        StoreError::Database(error) if !crate::db::is_connection_lost(error) => "data",
        StoreError::Database(_) => "database",
        _ => "invalid",
    };
    counter!("eventfabric_appends_refused_total", "reason" => reason).increment(1);
}
