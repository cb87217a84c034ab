//! Lines for the host's log. Each carries the plugin, its version and the batch.
//!
//! ```
//! use eventfabric_sdk::prelude::*;
//!
//! let late = 3;
//! log::info!("{late} flights are late");
//! ```
//!
//! Lines above the limit of a batch are counted and dropped by the host. In native tests they go to
//! the standard error stream, which the test runner shows where a test fails.

pub use crate::bindings::eventfabric::projection::log::Level;
#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

/// Writes one line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::eventfabric::projection::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?} {message}");
}

/// Writes a line of the level `trace`, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($part:tt)*) => {
        $crate::log::write($crate::log::Level::Trace, &::std::format!($($part)*))
    };
}

/// Writes a line of the level `debug`, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($part:tt)*) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($part)*))
    };
}

/// Writes a line of the level `info`, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($part:tt)*) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($part)*))
    };
}

/// Writes a line of the level `warn`, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($part:tt)*) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($part)*))
    };
}

/// Writes a line of the level `error`, formatted as by `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($part:tt)*) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($part)*))
    };
}
