//! The keys that seal and verify.

use crate::code::codes;

use std::fmt;
use std::sync::Arc;

use super::chain::Mac;

/// Bytes of a key that seals, at least: as many as a seal has.
const LEAST: usize = 32;

/// The operator's keys: the first one seals, all of them verify. A key is a name that is stored with
/// each seal, a colon, and at least 32 bytes in hexadecimal: `2026a:5f1c…`. Never shown or logged.
///
/// ```
/// use eventfabric::store::seal::Seal;
///
/// let seal: Seal = format!("2026a:{}", "5f".repeat(32)).parse()?;
/// assert_eq!(format!("{seal:?}"), "Seal { keys: [\"2026a\"] }");
/// assert!("2026a:5f".parse::<Seal>().is_err());
/// # Ok::<(), eventfabric::store::seal::SealError>(())
/// ```
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Seal {
    keys: Arc<[Key]>,
}

/// The names of the keys.
impl serde::Serialize for Seal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.keys.iter().map(|key| &key.id))
    }
}

struct Key {
    id: String,
    mac: Mac,
}

/// Why keys can't be used. Says nothing of the keys themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no key.
    #[error("there is no key to seal with: one a line, as NAME:HEX (`openssl rand -hex 32`)")]
    None,
    /// A line is no key.
    #[error(
        "key {0} is not of the form NAME:HEX, with a name of letters, digits, `-` and `_`, and at \
         least 32 bytes (64 hexadecimal digits: `openssl rand -hex 32`)"
    )]
    Malformed(usize),
    /// Two keys have one name.
    #[error("two keys are named {0}: a name stands for one key for ever")]
    Twice(String),
}

codes!(SealError {
    Self::None => "seal-key-missing",
    Self::Malformed(_) => "seal-key-malformed",
    Self::Twice(_) => "seal-key-twice",
});

impl Seal {
    /// The key that seals what is appended.
    pub(super) fn current(&self) -> (&str, &Mac) {
        let key = &self.keys[0];
        (&key.id, &key.mac)
    }

    pub(super) fn key(&self, id: &str) -> Option<&Mac> {
        self.keys.iter().find(|key| key.id == id).map(|key| &key.mac)
    }
}

/// One key a line; empty lines and lines that begin with `#` are left out.
impl std::str::FromStr for Seal {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut keys: Vec<Key> = Vec::new();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        for (at, line) in lines.enumerate() {
            let malformed = SealError::Malformed(at + 1);
            let Some((id, key)) = line.split_once(':') else { return Err(malformed) };
            let named = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            let bytes = hex::decode(key).unwrap_or_default();
            if id.is_empty() || id.len() > 64 || !named || bytes.len() < LEAST {
                return Err(malformed);
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(SealError::Twice(id.to_owned()));
            }
            keys.push(Key { id: id.to_owned(), mac: Mac::new(&bytes) });
        }
        if keys.is_empty() {
            return Err(SealError::None);
        }
        Ok(Self { keys: keys.into() })
    }
}

impl TryFrom<String> for Seal {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        text.parse()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("Seal").field("keys", &ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_seals_and_all_are_known() {
        let text = format!("# old ones below\nb:{}\n\n a:{} \n", "0b".repeat(32), "0a".repeat(40));
        let seal: Seal = text.parse().unwrap();
        assert_eq!(seal.current().0, "b");
        assert!(seal.key("a").is_some() && seal.key("c").is_none());
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let key = "0b".repeat(32);
        for (text, error) in [
            (String::new(), SealError::None),
            (key.clone(), SealError::Malformed(1)),
            (format!("a:{key}\nb:{}", &key[2..]), SealError::Malformed(2)),
            (format!("a b:{key}"), SealError::Malformed(1)),
            (format!("a:x{key}"), SealError::Malformed(1)),
            (format!("a:{key}\na:{key}"), SealError::Twice("a".to_owned())),
        ] {
            let refused = text.parse::<Seal>().unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains(&key[4..]));
        }
    }
}
