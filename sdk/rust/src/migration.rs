//! Migrations as files of the plugin.

pub use crate::bindings::eventfabric::projection::types::Migration;

/// The migrations of a plugin from its `.sql` files, named relative to the plugin's `Cargo.toml`.
/// Number and name come from the file name: `001_create_carriers.sql` is step 1, `create carriers`.
/// The texts are compiled in; a name without a number does not compile.
///
/// ```ignore
/// Description::new("carriers").migrations(migrations!["migrations/001_create_carriers.sql"])
/// ```
#[macro_export]
macro_rules! migrations {
    ($($file:literal),* $(,)?) => {
        [$(
            $crate::migration_file(
                const { $crate::migration_number($file) },
                $file,
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $file)),
            )
        ),*]
    };
}

/// The number in front of a migration's file name.
#[doc(hidden)]
pub const fn migration_number(file: &str) -> u32 {
    let bytes = file.as_bytes();
    let mut at = bytes.len();
    while at > 0 && bytes[at - 1] != b'/' {
        at -= 1;
    }
    let (first, mut number) = (at, 0);
    while at < bytes.len() && bytes[at].is_ascii_digit() {
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    assert!(
        at > first && at < bytes.len() && bytes[at] == b'_' && number > 0,
        "a migration's file is named by number and purpose, such as 001_create_accounts.sql"
    );
    number
}

/// A migration from its file.
#[doc(hidden)]
pub fn migration_file(number: u32, file: &str, sql: &str) -> Migration {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.strip_suffix(".sql").unwrap_or(name);
    let name = name.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('_');
    Migration { number, name: name.replace('_', " "), sql: sql.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_name_come_from_the_file_name() {
        const NUMBER: u32 = migration_number("migrations/012_add_gates.sql");
        let migration = migration_file(NUMBER, "migrations/012_add_gates.sql", "SELECT 1");
        assert_eq!((migration.number, migration.name.as_str()), (12, "add gates"));
    }

    #[test]
    #[should_panic(expected = "named by number and purpose")]
    fn a_file_without_a_number_is_refused() {
        migration_number("migrations/create.sql");
    }
}
