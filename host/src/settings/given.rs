//! What was set, where, and whether it can be meant.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider as _};
use serde::{Serialize, Serializer};
use toml_edit::{ImDocument, TableLike};

use super::names::{known, nearest};
use super::{FILE, Settings, is_elsewhere};
use crate::code::codes;

const PREFIX: &str = "EVENTFABRIC_";

/// Where a setting is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody has set it.
    Default,
    /// The settings file, with the line, from 1.
    File(PathBuf, Option<usize>),
    /// A variable of the environment.
    Environment(String),
    /// An argument of the command.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A setting that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its name, as in `runner.pol`.
    pub name: String,
    /// Where it was set.
    pub source: Source,
    /// The one that may be meant.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: there is no setting `{}`", self.source, self.name)?;
        match (&self.nearest, &self.source) {
            (Some(nearest), Source::Environment(_)) => {
                write!(f, "; did you mean {}?", variable(nearest))
            }
            (Some(nearest), _) => write!(f, "; did you mean `{nearest}`?"),
            (None, _) => Ok(()),
        }
    }
}

/// Settings that can't be used. Says nothing of values that are secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongSettings {
    /// Names that do not exist: all of them.
    #[error(
        "{}\n`eventfabric config show`, without them, lists all settings",
        .0.iter().map(Unknown::to_string).collect::<Vec<_>>().join("\n")
    )]
    Unknown(Vec<Unknown>),
    /// A value that does not fit.
    #[error("{source_of}: {name}: {why}")]
    Value {
        /// The setting.
        name: String,
        /// Where it was set.
        source_of: Source,
        /// What is wanted.
        why: String,
    },
    /// Values that can't be meant, though each fits where it stands.
    #[error("{0}")]
    Meaning(String),
    /// The file can't be read.
    #[error("the settings file {}: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or the parser says.
        why: String,
    },
}

codes!(WrongSettings {
    Self::Unknown(_) => "setting-unknown",
    Self::Value { .. } | Self::Meaning(_) => "setting-wrong",
    Self::File { .. } => "settings-unreadable",
});

/// What was set, by its places. Holds secrets, so it is not to be printed.
#[derive(Clone)]
pub struct Given {
    file: Option<File>,
    environment: Dict,
    /// The variables as paths.
    variables: Vec<Vec<String>>,
    /// Settings that stand elsewhere, by their names.
    elsewhere: BTreeMap<&'static str, Source>,
}

#[derive(Clone)]
struct File {
    path: PathBuf,
    text: String,
    values: Dict,
}

impl Given {
    /// Reads the file (`file`, or [`FILE`] in this folder or one above, where it is there) and the environment.
    ///
    /// # Errors
    /// A file that is not there or is no TOML, and names that do not exist: all of them.
    pub fn read(file: Option<&Path>) -> Result<Self, WrongSettings> {
        let file = match file {
            Some(file) => Some(file.to_owned()),
            None => found(),
        };
        let file = file.map(File::read).transpose()?;
        let environment = environment();
        let variables = environment
            .iter()
            .map(|(name, _)| name.as_str().split('.').map(str::to_owned).collect());
        let variables = variables.collect();
        // What is no value is text, so nothing can be wrong with it yet.
        let values = environment.data().unwrap_or_default().remove(&Profile::Default);
        let given = Self {
            file,
            environment: values.unwrap_or_default(),
            variables,
            elsewhere: BTreeMap::new(),
        };
        let unknown = given.unknown();
        if unknown.is_empty() { Ok(given) } else { Err(WrongSettings::Unknown(unknown)) }
    }

    /// The settings.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub fn settings(&self) -> Result<Settings, WrongSettings> {
        let mut figment = Figment::new();
        if let Some(file) = &self.file {
            figment = figment.merge(Toml::string(&file.text));
        }
        figment.merge(environment()).extract().map_err(|error| WrongSettings::Value {
            name: error.path.join("."),
            source_of: self.source(&error.path),
            why: wanted(&error.kind),
        })
    }

    /// Notes that a setting stands in another place, which wins.
    pub fn set(&mut self, name: &'static str, source: Source) {
        self.elsewhere.insert(name, source);
    }

    /// Where a setting is from.
    pub fn source(&self, path: &[String]) -> Source {
        if let Some(source) = path.first().and_then(|name| self.elsewhere.get(name.as_str())) {
            return source.clone();
        }
        if holds(&self.environment, path) {
            // It holds the setting, or (for a table) is inside of it.
            let variable = self
                .variables
                .iter()
                .filter(|variable| path.starts_with(variable) || variable.starts_with(path));
            let variable = variable.max_by_key(|variable| variable.len().min(path.len()));
            return Source::Environment(
                variable.map_or_else(String::new, |v| self::variable(&v.join("."))),
            );
        }
        match &self.file {
            Some(file) if holds(&file.values, path) => {
                Source::File(file.path.clone(), file.line(path))
            }
            _ => Source::Default,
        }
    }

    fn unknown(&self) -> Vec<Unknown> {
        let known = known();
        let mut unknown = Vec::new();
        for values in self.file.iter().map(|file| &file.values).chain([&self.environment]) {
            let mut names = Vec::new();
            look(values, &known, &mut Vec::new(), &mut names);
            unknown.extend(names.into_iter().map(|path| Unknown {
                source: self.source(&path),
                nearest: nearest(&path, &known),
                name: path.join("."),
            }));
        }
        unknown
    }
}

impl File {
    fn read(path: PathBuf) -> Result<Self, WrongSettings> {
        let wrong = |why: String| WrongSettings::File { path: path.clone(), why };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        // The parser's own words show the line, which may hold a secret.
        let document = ImDocument::parse(text.as_str()).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            wrong(format!("line {line}: {}", error.message()))
        })?;
        drop(document);
        let data = Toml::string(&text).data().map_err(|_| wrong("it is no TOML".to_owned()))?;
        let values = data.into_values().next().unwrap_or_default();
        Ok(Self { path, text, values })
    }

    /// The line of a setting.
    fn line(&self, path: &[String]) -> Option<usize> {
        let document = ImDocument::parse(self.text.as_str()).ok()?;
        let mut table: &dyn TableLike = document.as_table();
        let (mut at, mut names) = (None, path.iter());
        while let Some(name) = names.next() {
            let Some((key, item)) = table.get_key_value(name) else { break };
            at = line_of(key.span().or_else(|| item.span()), &self.text).or(at);
            if let Some(inner) = item.as_table_like() {
                table = inner;
            } else if let Some(tables) = item.as_array_of_tables() {
                let Some(inner) = names.next().and_then(|n| tables.get(n.parse().ok()?)) else {
                    break;
                };
                table = inner;
            } else {
                break;
            }
        }
        at
    }
}

fn line_of(span: Option<std::ops::Range<usize>>, text: &str) -> Option<usize> {
    span.map(|span| line_at(text, span.start))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The file that is read when none is named.
fn found() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let path = here.ancestors().map(|dir| dir.join(FILE)).find(|path| path.is_file())?;
    Some(path.strip_prefix(&here).map_or(path.clone(), Path::to_owned))
}

fn environment() -> Env {
    Env::prefixed(PREFIX).filter(|name| !is_elsewhere(name.as_str())).split("__")
}

pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_uppercase())
}

/// Whether there is a value. The parts of a list are counted from 0.
fn holds(values: &Dict, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return true };
    values.get(name).is_some_and(|value| holds_in(value, rest))
}

fn holds_in(value: &Value, path: &[String]) -> bool {
    match (value, path.split_first()) {
        (_, None) => true,
        (Value::Dict(_, values), _) => holds(values, path),
        (Value::Array(_, values), Some((number, rest))) => {
            let value = number.parse().ok().and_then(|number: usize| values.get(number));
            value.is_some_and(|value| holds_in(value, rest))
        }
        _ => false,
    }
}

/// Collects the names that do not exist.
fn look(
    values: &Dict,
    known: &serde_json::Map<String, serde_json::Value>,
    path: &mut Vec<String>,
    unknown: &mut Vec<Vec<String>>,
) {
    for (name, value) in values {
        path.push(name.clone());
        match known.get(name).or_else(|| known.get(super::names::ANY)) {
            Some(known) => look_into(value, known, path, unknown),
            None => unknown.push(path.clone()),
        }
        path.pop();
    }
}

fn look_into(
    value: &Value,
    known: &serde_json::Value,
    path: &mut Vec<String>,
    unknown: &mut Vec<Vec<String>>,
) {
    match (value, known) {
        (Value::Dict(_, values), serde_json::Value::Object(known)) => {
            look(values, known, path, unknown);
        }
        (Value::Array(_, values), serde_json::Value::Array(known)) => {
            for (number, (value, known)) in values.iter().zip(known.iter().cycle()).enumerate() {
                path.push(number.to_string());
                look_into(value, known, path, unknown);
                path.pop();
            }
        }
        // Another kind of value is told of when it is read.
        _ => {}
    }
}

/// What a value must be. Not what it is: it may be a secret in the wrong place.
fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, wanted)
        | Kind::InvalidValue(_, wanted)
        | Kind::InvalidLength(_, wanted) => match wanted.as_str() {
            "u8" | "u16" | "u32" | "u64" | "usize" | "i16" | "i32" | "i64" => {
                "it must be a whole number in its range".to_owned()
            }
            wanted => format!("it must be {wanted}"),
        },
        Kind::UnknownVariant(_, all) => format!("it must be one of {}", all.join(", ")),
        kind => kind.to_string(),
    }
}
