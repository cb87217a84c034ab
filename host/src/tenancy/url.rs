//! The address of a database, which can hold a password and never shows it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use sqlx::postgres::PgConnectOptions;

/// `postgres://user:password@host:5432/database`.
///
/// What it prints is without the password and the parameters, in errors and in `Debug`, too:
///
/// ```
/// let url: eventfabric::tenancy::DatabaseUrl =
///     "postgres://me:secret@db.example:5433/acme?sslmode=require".parse().unwrap();
/// assert_eq!(url.to_string(), "postgres://me@db.example:5433/acme");
/// assert!(!format!("{url:?}").contains("secret"));
/// ```
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseUrl {
    text: String,
    options: PgConnectOptions,
}

/// What can't be the address of a tenant's database. Says nothing of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not of the form postgres://user:password@host:5432/database{}; what is special in a URL \
     (@ : / ? # %) is written %40 %3A %2F %3F %23 %25 in a password", self.why()
)]
pub struct InvalidUrl(Option<&'static str>);

impl InvalidUrl {
    fn why(&self) -> String {
        self.0.map(|why| format!(" ({why})")).unwrap_or_default()
    }
}

impl DatabaseUrl {
    /// How to connect.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// How to connect to the server's own database, which is always there.
    pub fn server(&self) -> PgConnectOptions {
        self.options.clone().database("postgres")
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_default()
    }

    /// The whole text, password included: to be stored, never to be shown.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidUrl(None));
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| InvalidUrl(None))?;
        match options.get_database() {
            None | Some("") => Err(InvalidUrl(Some("it names no database"))),
            // The end of a password with a slash in it.
            Some(name) if name.contains(['@', '\0']) => {
                Err(InvalidUrl(Some("the database's name holds an @ or NUL")))
            }
            Some(_) => Ok(Self { text: text.to_owned(), options }),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for DatabaseUrl {}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        write!(f, "postgres://{}@", options.get_username())?;
        match options.get_socket() {
            Some(socket) => write!(f, "{}", socket.display())?,
            None => write!(f, "{}", options.get_host())?,
        }
        write!(f, ":{}/{}", options.get_port(), self.database())
    }
}

/// As it is shown: it can't be read back.
impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://me:hunter2@host/acme",
            "postgres://me@host/acme?password=hunter2",
            "postgresql://me:hunter2@[::1]:5433/acme?application_name=hunter2",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.expose(), text);
            let shown = format!("{url} {url:?} {:?}", Some(&url));
            assert!(!shown.contains("hunter2") && shown.contains("acme"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in [
            "",
            "hunter2",
            "mysql://me:hunter2@host/acme",
            "postgres://me:hunter2@host",
            "postgres://me:hunter2@host/",
            "postgres://me:hunt/er2@host/acme",
            "postgres://me:12/hunter2@host/acme",
            "postgres://me:hunter2@host:port/acme",
            "postgres://me:hunter2@host/acme?sslmode=hunter2",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
