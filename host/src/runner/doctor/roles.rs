//! Whether the roles of plugins may do exactly what they should.

use super::{Finding, Found, Patient};
use crate::sandbox::inexact;

/// Rights that are missing or too much, each with the statement that mends it.
pub(super) async fn roles(patient: &Patient) -> Found {
    let found = inexact(&patient.pool).await?;
    Ok(found
        .into_iter()
        .map(|inexact| {
            let place = inexact.role.unwrap_or_else(|| "everybody".to_owned());
            let advice = format!("{};", inexact.statement);
            match inexact.usual {
                true => Finding::note(place, inexact.what, advice),
                false => Finding::warning(place, inexact.what, advice),
            }
        })
        .collect())
}
