//! Queries that a plugin answers from its tables.

use std::collections::BTreeMap;

use crate::bindings::query::exports::eventfabric::query::queries::{
    Parameter, ParameterType, QueryDescription, Request,
};
use crate::{
    Backend, Date, Error, Failure, Numeric, Projection, Result, RowSet, Timestamptz, Tx, Uuid,
    Value,
};

/// A projection that answers queries: the host serves each at `GET /v1/query/PLUGIN/QUERY`. Export one
/// with `export_projection!(Accounts, queries)`.
///
/// ```
/// use eventfabric_sdk::prelude::*;
/// # struct Accounts;
/// # impl Projection for Accounts {
/// #     type Event = serde_json::Value;
/// #     fn describe() -> Description { Description::new("accounts") }
/// #     fn handle(_: &Tx, _: &Event<Self::Event>) -> Result<()> { Ok(()) }
/// # }
///
/// #[derive(Params)]
/// struct Richest {
///     /// How many accounts, at most
///     limit: Option<i64>,
/// }
///
/// fn richest(tx: &Tx, params: Richest) -> Result<RowSet> {
///     let limit = params.limit.unwrap_or(10);
///     tx.row_set("SELECT id, balance FROM accounts ORDER BY balance DESC LIMIT $1", params![limit])
/// }
///
/// impl Queries for Accounts {
///     fn queries() -> Vec<Query> {
///         vec![Query::new("richest", richest).text("The accounts with the most on them")]
///     }
/// }
/// export_projection!(Accounts, queries);
/// ```
pub trait Queries: Projection {
    /// The queries, in the order in which they are listed.
    fn queries() -> Vec<Query>;
}

type Answer = dyn Fn(&Tx<'_>, &str, Given) -> Result<RowSet>;

/// A query and the function that answers it.
pub struct Query {
    description: QueryDescription,
    answer: Box<Answer>,
}

impl Query {
    /// A query that answers for all tenants; callers that are confined to some can't ask it. The name
    /// is `[a-z][a-z0-9_]{0,47}`. `()` stands for no parameters.
    pub fn new<P: Params>(
        name: impl Into<String>,
        answer: impl Fn(&Tx<'_>, P) -> Result<RowSet> + 'static,
    ) -> Self {
        let answer = move |tx: &Tx<'_>, _: &str, given| answer(tx, P::read(given)?);
        Self::described(name, P::describe(), false, answer)
    }

    /// A query whose answer holds nothing but what belongs to the tenant that it is given.
    pub fn per_tenant<P: Params>(
        name: impl Into<String>,
        answer: impl Fn(&Tx<'_>, &str, P) -> Result<RowSet> + 'static,
    ) -> Self {
        let answer = move |tx: &Tx<'_>, tenant: &str, given| answer(tx, tenant, P::read(given)?);
        Self::described(name, P::describe(), true, answer)
    }

    fn described(
        name: impl Into<String>,
        parameters: Vec<ParamInfo>,
        per_tenant: bool,
        answer: impl Fn(&Tx<'_>, &str, Given) -> Result<RowSet> + 'static,
    ) -> Self {
        let parameters = parameters.into_iter().map(|parameter| parameter.0).collect();
        let (name, text) = (name.into(), String::new());
        let description = QueryDescription { name, text, parameters, per_tenant };
        Self { description, answer: Box::new(answer) }
    }

    /// One sentence for people.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.description.text = text.into();
        self
    }
}

/// A parameter, as the host lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamInfo(Parameter);

impl ParamInfo {
    /// A parameter that is read into `T`.
    pub fn of<T: Param>(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self(Parameter { name, text, type_: T::TYPE, required: T::REQUIRED })
    }
}

/// The parameters that a caller gave.
pub struct Given(BTreeMap<String, Value>);

impl Given {
    /// Takes the value of a parameter, by its name.
    ///
    /// # Errors
    /// Poison, which is told to the caller: it is missing, or does not fit `T`.
    pub fn take<T: Param>(&mut self, name: &str) -> Result<T> {
        T::from_param(self.0.remove(name)).map_err(|error| error.context(format_args!("{name}")))
    }
}

/// The parameters of a query, by `#[derive(Params)]` on a struct: a field is a parameter, its comment
/// the text for people, `Option` one that may be left out.
pub trait Params: Sized {
    /// What the host lists, and checks a request by.
    fn describe() -> Vec<ParamInfo>;

    /// Reads them.
    ///
    /// # Errors
    /// Poison, naming the parameter that does not fit.
    fn read(given: Given) -> Result<Self>;
}

impl Params for () {
    fn describe() -> Vec<ParamInfo> {
        Vec::new()
    }

    fn read(_: Given) -> Result<Self> {
        Ok(())
    }
}

/// What a parameter can be read into: `bool`, `i64`, `i32`, `f64`, `String`, [`Numeric`], [`Uuid`],
/// [`Timestamptz`], [`Date`], and `Option` of these.
pub trait Param: Sized {
    /// What the host checks it by.
    const TYPE: ParameterType;
    /// Whether it must be given.
    const REQUIRED: bool = true;

    /// Reads a value; `None` where it was not given.
    ///
    /// # Errors
    /// Poison, where it does not fit.
    fn from_param(value: Option<Value>) -> Result<Self>;
}

impl<T: Param> Param for Option<T> {
    const TYPE: ParameterType = T::TYPE;
    const REQUIRED: bool = false;

    fn from_param(value: Option<Value>) -> Result<Self> {
        value.map(|value| T::from_param(Some(value))).transpose()
    }
}

fn misfit(value: Option<Value>) -> Error {
    match value {
        None => Error::poison("it is missing"),
        Some(value) => Error::poison(format_args!("{value:?} does not fit")),
    }
}

macro_rules! param {
    ($($rust:ty: $variant:ident |$it:ident| $convert:expr;)*) => {$(
        impl Param for $rust {
            const TYPE: ParameterType = ParameterType::$variant;

            fn from_param(value: Option<Value>) -> Result<Self> {
                match value {
                    Some(Value::$variant($it)) => Ok($convert),
                    value => Err(misfit(value)),
                }
            }
        }
    )*};
}

param! {
    bool: Boolean |it| it;
    i64: Int64 |it| it;
    f64: Float64 |it| it;
    String: Text |it| it;
    Numeric: Numeric |it| Self(it);
    Uuid: Uuid |it| Self(it);
    Timestamptz: Timestamptz |it| Self(it);
    Date: Date |it| Self(it);
}

impl Param for i32 {
    const TYPE: ParameterType = ParameterType::Int64;

    fn from_param(value: Option<Value>) -> Result<Self> {
        let number = i64::from_param(value)?;
        let hint = format_args!("it is a whole number from {} to {}", Self::MIN, Self::MAX);
        Self::try_from(number).map_err(|_| Error::poison(hint))
    }
}

/// What the exported component describes.
#[doc(hidden)]
pub fn describe_queries<P: Queries>() -> Vec<QueryDescription> {
    P::queries().into_iter().map(|query| query.description).collect()
}

/// Answers a request as the host would have it answered. The exported component and the tests both come
/// here.
///
/// # Errors
/// What the host gets.
pub fn query<P: Queries>(backend: &dyn Backend, request: Request) -> Result<RowSet, Failure> {
    let Request { name, tenant, parameters } = request;
    let run = || -> Result<RowSet> {
        let query = P::queries().into_iter().find(|query| query.description.name == name);
        let query = query.ok_or_else(|| Error::poison(format_args!("no query `{name}`")))?;
        let tx = Tx::new(backend);
        let rows = (query.answer)(&tx, &tenant, Given(parameters.into_iter().collect()));
        // An error that the query went on after is one.
        tx.finish(rows.as_ref().map(|_| ()).map_err(Clone::clone))?;
        rows
    };
    run().map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FailureKind, SqlErrorKind, params,
        testing::{self, RecordingTx, rows, sql_error},
    };

    struct Things;

    impl Projection for Things {
        type Event = serde::de::IgnoredAny;

        fn describe() -> crate::Description {
            crate::Description::new("things")
        }

        fn handle(_: &Tx<'_>, _: &crate::Event<Self::Event>) -> Result<()> {
            Ok(())
        }
    }

    #[derive(eventfabric_sdk_macros::Params)]
    struct Wanted {
        /// Which one
        kind: String,
        r#where: Option<i32>,
    }

    impl Queries for Things {
        fn queries() -> Vec<Query> {
            let all = |tx: &Tx<'_>, wanted: Wanted| {
                let Wanted { kind, r#where } = wanted;
                tx.row_set("SELECT n FROM things", params![kind, r#where])
            };
            let own = |tx: &Tx<'_>, tenant: &str, (): ()| {
                tx.row_set("SELECT n FROM things WHERE tenant = $1", params![tenant])
            };
            let careless = |tx: &Tx<'_>, (): ()| {
                let _ = tx.row_set("SELECT nothing", params![]);
                Ok(rows(["n"], [params![1]]))
            };
            vec![
                Query::new("all", all).text("All of them"),
                Query::per_tenant("own", own),
                Query::new("careless", careless),
            ]
        }
    }

    #[test]
    fn a_struct_describes_the_parameters() {
        let described = describe_queries::<Things>();
        assert_eq!(
            (described[0].name.as_str(), described[0].text.as_str()),
            ("all", "All of them")
        );
        assert_eq!(
            described[0].parameters,
            [
                Parameter {
                    name: "kind".into(),
                    text: "Which one".into(),
                    type_: ParameterType::Text,
                    required: true
                },
                Parameter {
                    name: "where".into(),
                    text: String::new(),
                    type_: ParameterType::Int64,
                    required: false
                },
            ]
        );
        assert!(!described[0].per_tenant && described[1].per_tenant);
    }

    #[test]
    fn parameters_reach_the_statement() {
        let db = RecordingTx::new();
        db.answer("SELECT n", rows(["n"], [params![7]]));
        let kind = Value::Text("x".into());
        let given = [("where", Value::Int64(3)), ("kind", kind)];
        let found = testing::query::<Things>(&db, "all", given).unwrap();
        assert_eq!(found, rows(["n"], [params![7]]));
        testing::query::<Things>(&db, "own", []).unwrap();
        assert_eq!(db.calls_of("SELECT n"), [params!["x", 3], params!["default"]]);
    }

    #[test]
    fn what_does_not_fit_names_the_parameter() {
        let db = RecordingTx::new();
        let failed = |given: &[(&'static str, Value)]| {
            let failure = testing::query::<Things>(&db, "all", given.iter().cloned()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Poison);
            failure.message
        };
        assert_eq!(failed(&[]), "kind: it is missing");
        let kind = ("kind", Value::Text("x".into()));
        let large = ("where", Value::Int64(1 << 31));
        assert!(failed(&[kind, large]).starts_with("where: it is a whole number from"));
        assert_eq!(testing::query::<Things>(&db, "no", []).unwrap_err().message, "no query `no`");
        assert_eq!(db.round_trips(), 0);
    }

    #[test]
    fn an_error_that_is_swallowed_fails_the_query() {
        let db = RecordingTx::new();
        db.fail("SELECT", sql_error(SqlErrorKind::Invalid, "42703", "no such column"));
        let failure = testing::query::<Things>(&db, "careless", []).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Fatal);
        assert!(failure.message.contains("no such column"), "{}", failure.message);
    }
}
