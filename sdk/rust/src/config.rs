//! Settings that the operator gave this plugin. They are the same for the whole of a batch.
//!
//! ```
//! use eventfabric_sdk::{config, testing};
//!
//! testing::set_config("late_after_minutes", "15"); // natively, a test is the operator
//! assert_eq!(config::get("late_after_minutes").as_deref(), Some("15"));
//! assert_eq!(config::parse::<i32>("late_after_minutes")?, Some(15));
//! assert_eq!(config::get("unknown"), None);
//! # Ok::<(), eventfabric_sdk::Error>(())
//! ```

use std::{fmt::Display, str::FromStr};

use crate::{Error, Result};

/// The value of one setting, if it was given.
pub fn get(key: &str) -> Option<String> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::eventfabric::projection::config::get(key);
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::config(key)
}

/// All settings, sorted by key.
pub fn all() -> Vec<(String, String)> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::eventfabric::projection::config::all();
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::all_config()
}

/// The value of one setting in a type of its own.
///
/// # Errors
/// Fatal, naming the setting, when the value is not of that type: no event is to blame for it.
pub fn parse<T: FromStr<Err: Display>>(key: &str) -> Result<Option<T>> {
    get(key)
        .map(|text| {
            text.parse().map_err(|error| {
                Error::fatal(format_args!("the setting `{key}` = `{text}`: {error}"))
            })
        })
        .transpose()
}
