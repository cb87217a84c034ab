//! The identity of a plugin: the name that it gives itself, and the hash of its bytes.

use sha2::{Digest as _, Sha256};

/// The version of a plugin: SHA-256 of its file. Shown as its first 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; 32]);

impl Version {
    /// The version of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// All 64 hexadecimal digits.
    pub fn full(&self) -> String {
        hex::encode(self.0)
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Version {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version is the SHA-256 of a plugin: 64 hexadecimal digits")]
pub struct InvalidVersion;

impl std::str::FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| InvalidVersion)?;
        Ok(Self(hash))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&hex::encode(&self.0[..6]))
    }
}

/// The first digits of a version that is given in full, as it is shown.
pub fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.full())
    }
}

/// Characters of the name of a plugin. PostgreSQL cuts at 63, and the host puts a prefix or a suffix to it.
const NAME_LENGTH: usize = 48;

/// Whether a plugin may have this name: `[a-z][a-z0-9_]{0,47}`, and not one that PostgreSQL or the
/// host uses for its own schemas. What it says otherwise is for the author.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let mut bytes = name.bytes();
    if !bytes.next().is_some_and(|b| b.is_ascii_lowercase()) {
        return Err("a name starts with a lower case letter");
    }
    if !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err("a name is made of lower case letters, digits and underscores");
    }
    if name.len() > NAME_LENGTH {
        return Err("a name has at most 48 characters");
    }
    if name.starts_with("pg_") || name == "public" || name == "information_schema" {
        return Err("the name belongs to PostgreSQL");
    }
    if name.starts_with("eventfabric") || name.starts_with("ef_") {
        return Err("names that start with eventfabric or ef_ belong to the host");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_hash_and_shows_twelve_digits() {
        let version = Version::of(b"abc");
        assert_eq!(version.to_string(), "ba7816bf8f01");
        assert_eq!(version.full().len(), 64);
        assert_eq!(version.full().parse(), Ok(version));
        assert_eq!("ba7816bf8f01".parse::<Version>(), Err(InvalidVersion));
    }

    #[test]
    fn names_that_can_be_a_schema_are_allowed() {
        for name in ["a", "carriers", "fleet_2024", "select", &"x".repeat(48)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        let long = "x".repeat(49);
        for name in [
            "",
            "A",
            "1a",
            "_a",
            "a-b",
            "a b",
            "ä",
            "a\"b",
            "a.b",
            "a\0",
            "public",
            "pg_catalog",
            "pg_x",
            "information_schema",
            "eventfabric",
            "eventfabric_x",
            "ef_x",
            &long,
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
