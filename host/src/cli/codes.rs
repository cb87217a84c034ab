//! The codes of all errors that a command can end with.

use super::exit::{Exit, Refused};
use crate::code::Coded;
use crate::plugin::{ConfigError, LoadError, SettingsError};
use crate::runner::{DeployError, QueryError, RebuildError, ResetError};
use crate::sandbox::{SandboxError, SqlError};
use crate::session::SessionError;
use crate::settings::WrongSettings;
use crate::store::migrate::MigrateError;
use crate::store::partition::PartitionError;
use crate::store::seal::SealError;
use crate::store::{InlineFailure, SchemaError, StoreError};
use crate::tenancy::{DirectoryError, TenantError};

macro_rules! known {
    ($($type:ty),* $(,)?) => {
        /// The code of an error: that of its outermost cause that has one.
        pub(super) fn of(error: &anyhow::Error) -> Option<&'static str> {
            error.chain().find_map(|cause| {
                $(if let Some(error) = cause.downcast_ref::<$type>() {
                    return Some(error.code());
                })*
                let refused = cause.downcast_ref::<Refused>().map(|refused| refused.code);
                refused.or_else(|| cause.downcast_ref::<Exit>().and_then(Exit::code))
            })
        }

        /// The codes of these types.
        #[cfg(test)]
        const TYPED: &[&[&str]] = &[$(<$type as Coded>::CODES),*];
    };
}

known!(
    ConfigError,
    DeployError,
    DirectoryError,
    InlineFailure,
    LoadError,
    MigrateError,
    PartitionError,
    QueryError,
    RebuildError,
    ResetError,
    SandboxError,
    SchemaError,
    SealError,
    SessionError,
    SettingsError,
    SqlError,
    StoreError,
    TenantError,
    WrongSettings,
    sqlx::Error,
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{exit, explain};
    use super::*;
    use crate::event::{ExpectedVersion, StreamId};

    /// Those that the HTTP API answers, as its document lists them.
    fn of_http() -> Vec<String> {
        let path = eventfabric_testdb::workspace().join("tests/golden/openapi.json");
        let text = std::fs::read_to_string(path).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let codes = &document["components"]["schemas"]["Code"]["enum"];
        serde_json::from_value(codes.clone()).unwrap()
    }

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let exits = (0..=u8::MAX).filter_map(|code| Exit { code, message: String::new() }.code());
        let mut codes: BTreeSet<String> = exits.map(str::to_owned).collect();
        codes.extend(TYPED.iter().copied().flatten().map(|code| (*code).to_owned()));
        codes.extend(of_http());
        let pages: Vec<String> = explain::codes().map(str::to_owned).collect();
        let expected: Vec<String> = codes.into_iter().collect();
        assert_eq!(
            pages, expected,
            "docs/errors.md has other codes than there are, or not in order"
        );
        for code in explain::codes() {
            let text = explain::page(code).unwrap();
            assert!(text.contains("**Cause.** ") && text.contains("**Cure.** "), "{code}: {text}");
        }
    }

    #[test]
    fn a_code_is_found_below_what_a_command_says_about_its_error() {
        let conflict = StoreError::Conflict {
            stream: StreamId::new("Account", "1"),
            expected: ExpectedVersion::NoStream,
            actual: 1,
        };
        let error = anyhow::Error::new(conflict).context("line 7");
        assert_eq!(of(&error), Some("expected-version-conflict"));
        assert_eq!(exit::code(&error), exit::CONFLICT);
        assert_eq!(of(&anyhow::anyhow!("cargo could not build")), None);
    }
}
