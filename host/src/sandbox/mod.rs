//! What a plugin's SQL may do.

mod value;

pub use value::Value;
