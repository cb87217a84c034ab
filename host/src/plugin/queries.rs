//! Queries: what a plugin answers from its tables, where it exports the extension of the contract that
//! is in `wit/query/query.wit`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;
use wasmtime::component::{InstancePre, Resource};

use super::bindings::{self, TxHandle, sql};
use super::engine::Shared;
use super::host::State;
use super::instance::{self, Plugin, new_store};
use super::lines::Lines;
use super::session::Session;
use super::version::Version;
use super::wasi::World;
use super::{LoadError, failure};
use crate::db::Tx;
use crate::projection::{Failure, FailureKind, Parameter, ParameterType, Query};
use crate::sandbox::{PluginSql, RowSet, Value};

mod generated {
    #![allow(missing_docs, dead_code, clippy::all)]
    wasmtime::component::bindgen!({
        inline: "
            package eventfabric:host;
            world queries { export eventfabric:query/queries@0.1.0; }
        ",
        path: ["../wit", "../wit/query"],
        world: "eventfabric:host/queries",
        exports: { default: async },
        with: {
            "eventfabric:projection/types@0.1.0": crate::plugin::bindings::types,
            "eventfabric:projection/sql@0.1.0": crate::plugin::bindings::sql,
        },
        require_store_data_send: true,
    });
}

use generated::QueriesPre;
use generated::exports::eventfabric::query::queries as wit;

/// Queries that a plugin answers.
const QUERIES: usize = 200;
/// Parameters of one query.
const PARAMETERS: usize = 50;
/// Characters of what a plugin says of a query.
const TEXT_LENGTH: usize = 1000;

/// The queries of a plugin, and the way to ask them.
pub struct Served {
    pre: QueriesPre<State>,
    queries: Vec<Query>,
}

/// A request that fits the description of its query.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The query.
    pub query: String,
    /// For whom.
    pub tenant: String,
    /// What [`arguments`] has made of the parameters.
    pub arguments: Vec<(String, Value)>,
}

/// Why parameters do not fit a query. Names the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidParameter(String);

impl Served {
    /// Asks a plugin for its queries.
    pub(super) async fn new(
        shared: &Shared,
        pre: InstancePre<State>,
        version: Version,
    ) -> Result<Self, LoadError> {
        let pre = QueriesPre::new(pre);
        let pre = pre.map_err(|error| LoadError::Contract(format!("{error:#}")))?;
        let (_slot, mut store) = instance::describing(shared, version).await?;
        let outcome = async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.eventfabric_query_queries().call_describe_queries(&mut store).await
        };
        let outcome = outcome.await;
        let described = instance::described(store, outcome)?;
        let queries: Vec<Query> = described.into_iter().map(Into::into).collect();
        check(&queries).map_err(LoadError::InvalidQuery)?;
        Ok(Self { pre, queries })
    }
}

impl Plugin {
    /// The queries that it answers.
    pub fn queries(&self) -> &[Query] {
        self.reads.as_ref().map_or(&[], |served| &served.queries)
    }

    /// Answers a request on a fresh instance, in no more than this time. The transaction, in which
    /// nothing can be written, goes in and comes back; `None` when it had to be given up.
    pub async fn query(
        &self,
        tx: Tx,
        sql: &Arc<PluginSql>,
        ask: &Ask,
        config: &Arc<BTreeMap<String, String>>,
        time: Duration,
    ) -> (Option<Tx>, Result<RowSet, Failure>) {
        let Some(served) = &self.reads else {
            return (Some(tx), Err(Failure::new(FailureKind::Fatal, "it answers no queries")));
        };
        let Ok(Ok(_slot)) = tokio::time::timeout(time, self.shared.slots.acquire()).await else {
            let message = "no plugin instance became free in time: raise `instances`";
            return (Some(tx), Err(Failure::new(FailureKind::Retry, message)));
        };
        let (name, now) = (&self.description.name, Utc::now().timestamp_micros());
        let sink = self.shared.sink.load().as_deref().cloned();
        let lines = format!("query {}", ask.query);
        let lines = Lines::new(name.as_str().into(), self.version, lines, &self.limits, sink);
        let world = World::new(now, World::seed(name, now));
        let session = Session { reads_only: true, ..Session::new(tx, sql.clone()) };
        let limits = self.limits.clone();
        let state = State::new(limits, time, world, lines, config.clone(), Some(session));
        // A failure names the limit, of which the wait for a connection has had a part.
        let state = State { time: self.limits.query, ..state };
        let mut store = new_store(&self.shared, state);
        let request = wit::Request {
            name: ask.query.clone(),
            tenant: ask.tenant.clone(),
            parameters: ask.arguments.iter().cloned().map(|(n, v)| (n, v.into())).collect(),
        };
        let outcome = async {
            let instance = served.pre.instantiate_async(&mut store).await?;
            let handle = store.data_mut().table.push(TxHandle)?;
            let tx = Resource::new_borrow(handle.rep());
            instance.eventfabric_query_queries().call_query(&mut store, tx, &request).await
        };
        let outcome = outcome.await;
        let state = store.into_data();
        let trouble = state.session.as_ref().and_then(|session| session.trouble.clone());
        let result = match (outcome, trouble) {
            (Err(error), _) => Err(failure::stopped(&state, &error)),
            (Ok(Err(theirs)), _) => Err(failure::returned(&state, theirs.into(), 0)),
            (Ok(Ok(_)), Some(trouble)) => Err(failure::swallowed(&state, &trouble)),
            (Ok(Ok(rows)), None) => match misshapen(&rows, sql.most()) {
                Some(why) => Err(Failure::new(FailureKind::Fatal, why)),
                None => Ok(RowSet {
                    columns: rows.columns,
                    rows: rows.rows.into_iter().map(bindings::convert).collect(),
                }),
            },
        };
        state.lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
        let Some(session) = state.session else { return (None, result) };
        (if session.is_lost() { None } else { session.tx }, result)
    }
}

/// What is wrong with the rows of an answer: a plugin can make them up.
fn misshapen(set: &sql::RowSet, (most_rows, most_bytes): (usize, usize)) -> Option<String> {
    if let Some(column) = twice(&set.columns) {
        return Some(format!("two columns of the answer are called {column:?}"));
    }
    if let Some(at) = set.rows.iter().position(|row| row.len() != set.columns.len()) {
        let columns = set.columns.len();
        return Some(format!("row {} of the answer does not have {columns} values", at + 1));
    }
    let bytes: usize = set.rows.iter().flatten().map(bindings::size).sum();
    if set.rows.len() > most_rows || bytes > most_bytes {
        return Some(format!("the answer has more than {most_rows} rows or {most_bytes} bytes"));
    }
    None
}

/// A name that is there more than once.
fn twice(names: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    let mut seen = HashSet::new();
    names.into_iter().map(|name| name.as_ref().to_owned()).find(|name| !seen.insert(name.clone()))
}

/// Checks what people and programs would stumble over later.
fn check(queries: &[Query]) -> Result<(), String> {
    if queries.len() > QUERIES {
        return Err(format!("there are more than {QUERIES}"));
    }
    if let Some(name) = twice(queries.iter().map(|query| &query.name)) {
        return Err(format!("two are called {name:?}"));
    }
    for Query { name, text, parameters, .. } in queries {
        check_one("query", name, text)?;
        if parameters.len() > PARAMETERS {
            return Err(format!("{name} has more than {PARAMETERS} parameters"));
        }
        if let Some(parameter) = twice(parameters.iter().map(|parameter| &parameter.name)) {
            return Err(format!("two parameters of {name} are called {parameter:?}"));
        }
        for Parameter { name: parameter, text, .. } in parameters {
            check_one(&format!("parameter of {name}"), parameter, text)?;
        }
    }
    Ok(())
}

fn check_one(what: &str, name: &str, text: &str) -> Result<(), String> {
    if !is_identifier(name) {
        let name: String = name.chars().take(60).collect();
        return Err(format!("a {what} is called {name:?}: use [a-z][a-z0-9_]{{0,47}}"));
    }
    if text.chars().count() > TEXT_LENGTH || text.contains('\0') {
        return Err(format!("the text of {name} has more than {TEXT_LENGTH} characters, or a NUL"));
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Makes the arguments of a query from text, as an address or a command line has it.
///
/// # Errors
/// Names the parameter that is not known, given twice, missing, or of another type.
pub fn arguments(
    query: &Query,
    given: &[(String, String)],
) -> Result<Vec<(String, Value)>, InvalidParameter> {
    let invalid = |why: String| Err(InvalidParameter(why));
    let known = |name: &str| query.parameters.iter().any(|parameter| parameter.name == name);
    if let Some((name, _)) = given.iter().find(|(name, _)| !known(name)) {
        let names: Vec<&str> = query.parameters.iter().map(|it| it.name.as_str()).collect();
        return invalid(match names.as_slice() {
            [] => format!("there is no parameter {name:?}: {} has none", query.name),
            names => format!("there is no parameter {name:?}; there are: {}", names.join(", ")),
        });
    }
    if let Some(name) = twice(given.iter().map(|(name, _)| name)) {
        return invalid(format!("the parameter {name} is there more than once"));
    }
    let mut arguments = Vec::with_capacity(given.len());
    for Parameter { name, r#type, required, .. } in &query.parameters {
        match given.iter().find(|(other, _)| other == name) {
            Some((_, text)) => match parse(*r#type, text) {
                Some(value) => arguments.push((name.clone(), value)),
                None => return invalid(format!("{name}: {text:?} is no {}", form(*r#type))),
            },
            None if *required => {
                return invalid(format!("the parameter {name} is missing: {}", form(*r#type)));
            }
            None => {}
        }
    }
    Ok(arguments)
}

/// What a value of a type looks like.
fn form(r#type: ParameterType) -> &'static str {
    match r#type {
        ParameterType::Boolean => "`true` or `false`",
        ParameterType::Int64 => "whole number of 64 bits",
        ParameterType::Float64 => "number",
        ParameterType::Numeric => "decimal number such as -12.50",
        ParameterType::Text => "text",
        ParameterType::Uuid => "UUID",
        ParameterType::Timestamptz => "time such as 2024-05-01T12:00:00Z (RFC 3339)",
        ParameterType::Date => "date such as 2024-05-01",
    }
}

fn parse(r#type: ParameterType, text: &str) -> Option<Value> {
    Some(match r#type {
        ParameterType::Boolean => Value::Bool(text.parse().ok()?),
        ParameterType::Int64 => Value::Int64(text.parse().ok()?),
        ParameterType::Float64 => Value::Float64(text.parse().ok()?),
        ParameterType::Numeric => {
            let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
            (text.chars().all(plain) && text.parse::<f64>().is_ok()).then_some(())?;
            Value::Numeric(text.to_owned())
        }
        ParameterType::Text => Value::Text(text.to_owned()),
        ParameterType::Uuid => Value::Uuid(text.parse::<Uuid>().ok()?.to_string()),
        ParameterType::Timestamptz => {
            Value::Timestamptz(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
        }
        ParameterType::Date => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            Value::Date(i32::try_from(days).ok()?)
        }
    })
}

impl From<wit::QueryDescription> for Query {
    fn from(query: wit::QueryDescription) -> Self {
        let parameters = query.parameters.into_iter().map(|parameter| Parameter {
            name: parameter.name,
            text: parameter.text,
            r#type: match parameter.type_ {
                wit::ParameterType::Boolean => ParameterType::Boolean,
                wit::ParameterType::Int64 => ParameterType::Int64,
                wit::ParameterType::Float64 => ParameterType::Float64,
                wit::ParameterType::Numeric => ParameterType::Numeric,
                wit::ParameterType::Text => ParameterType::Text,
                wit::ParameterType::Uuid => ParameterType::Uuid,
                wit::ParameterType::Timestamptz => ParameterType::Timestamptz,
                wit::ParameterType::Date => ParameterType::Date,
            },
            required: parameter.required,
        });
        let parameters = parameters.collect();
        Self { name: query.name, text: query.text, parameters, per_tenant: query.per_tenant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(types: &[(&str, ParameterType, bool)]) -> Query {
        let parameters = types.iter().map(|(name, r#type, required)| Parameter {
            name: (*name).to_owned(),
            text: String::new(),
            r#type: *r#type,
            required: *required,
        });
        let (name, parameters) = ("q".to_owned(), parameters.collect());
        Query { name, text: String::new(), parameters, per_tenant: false }
    }

    fn one(r#type: ParameterType, text: &str) -> Result<Value, String> {
        let given = [("p".to_owned(), text.to_owned())];
        arguments(&query(&[("p", r#type, true)]), &given)
            .map(|mut all| all.remove(0).1)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_are_exact() {
        use ParameterType::{Boolean, Date, Float64, Int64, Numeric, Text, Timestamptz, Uuid};
        let micros = 1_714_564_800_000_001;
        for (r#type, text, value) in [
            (Boolean, "true", Value::Bool(true)),
            (Int64, "9007199254740993", Value::Int64(9_007_199_254_740_993)),
            (Int64, "-9223372036854775808", Value::Int64(i64::MIN)),
            (Float64, "1e300", Value::Float64(1e300)),
            (Numeric, "-12.50", Value::Numeric("-12.50".to_owned())),
            (Text, "", Value::Text(String::new())),
            (
                Uuid,
                "01890A5D-AC96-774B-BCCE-B302099A8057",
                Value::Uuid("01890a5d-ac96-774b-bcce-b302099a8057".to_owned()),
            ),
            (Timestamptz, "2024-05-01T14:00:00.000001+02:00", Value::Timestamptz(micros)),
            (Date, "1969-12-31", Value::Date(-1)),
        ] {
            assert_eq!(one(r#type, text), Ok(value));
        }
        for (r#type, text) in [
            (Boolean, "yes"),
            (Int64, "9223372036854775808"),
            (Int64, "1.0"),
            (Float64, "x"),
            (Numeric, "1,5"),
            (Numeric, "inf"),
            (Numeric, ""),
            (Uuid, "1"),
            (Timestamptz, "2024-05-01"),
            (Date, "2024-02-30"),
        ] {
            let error = one(r#type, text).unwrap_err();
            assert!(error.starts_with(&format!("p: {text:?} is no ")), "{error}");
        }
    }

    #[test]
    fn parameters_that_do_not_fit_are_named() {
        let query = query(&[("a", ParameterType::Int64, true), ("b", ParameterType::Text, false)]);
        let ask = |given: &[(&str, &str)]| {
            let given: Vec<_> =
                given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            arguments(&query, &given).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&[("a", "1")]), Ok(vec![("a".to_owned(), Value::Int64(1))]));
        let both = ask(&[("b", "x"), ("a", "1")]).unwrap();
        assert_eq!(both[1], ("b".to_owned(), Value::Text("x".to_owned())));
        assert!(ask(&[]).unwrap_err().contains("parameter a is missing"));
        assert!(ask(&[("a", "1"), ("c", "1")]).unwrap_err().contains("there are: a, b"));
        assert!(ask(&[("a", "1"), ("a", "1")]).unwrap_err().contains("a is there more than once"));
    }

    #[test]
    fn descriptions_that_make_no_sense_are_refused() {
        let good = query(&[("a", ParameterType::Text, true)]);
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        let named = |name: &str| Query { name: name.to_owned(), ..good.clone() };
        for name in ["", "A", "1a", "a-b", "a/b", &"a".repeat(49)] {
            assert!(check(&[named(name)]).is_err(), "{name}");
        }
        assert!(check(&[good.clone(), good.clone()]).unwrap_err().contains("two are called"));
        let twice = query(&[("a", ParameterType::Text, true), ("a", ParameterType::Date, false)]);
        assert!(check(&[twice]).unwrap_err().contains("two parameters of q"));
        let long = Query { text: "x".repeat(1001), ..good };
        assert!(check(&[long]).is_err());
    }

    #[test]
    fn an_answer_that_a_plugin_makes_up_is_looked_at() {
        let set = |columns: &[&str], rows: Vec<Vec<sql::Value>>| {
            let columns = columns.iter().map(|name| (*name).to_owned()).collect();
            misshapen(&sql::RowSet { columns, rows }, (2, 1000))
        };
        let row = || vec![sql::Value::Int64(1)];
        assert_eq!(set(&["a"], vec![row(), row()]), None);
        assert!(set(&["a", "a"], vec![]).unwrap().contains("\"a\""));
        assert!(set(&["a", "b"], vec![row()]).unwrap().contains("row 1"));
        assert!(set(&["a"], vec![row(), row(), row()]).unwrap().contains("2 rows"));
        let text = sql::Value::Text("x".repeat(1001));
        assert!(set(&["a"], vec![vec![text]]).unwrap().contains("1000 bytes"));
    }
}
