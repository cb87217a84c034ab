//! `GET /v1/dead-letters`, `GET /v1/dead-letters/{letter}`, `POST /v1/dead-letters/requeue`,
//! `POST /v1/dead-letters/purge`

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::PAGE;
use super::event_body::EventBody;
use super::extract::{Json, LetterId, Tenant, check_given};
use super::params::Params;
use super::problem::{Code, Problem};
use super::responses::{BodyProblems, ReadProblems, json};
use super::state::Api;
use crate::event::MAX_POSITION;
use crate::projection::ErrorClass;
use crate::store::{self, DeadLetter, LetterFilter};

/// An event that a projection could not handle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct LetterBody {
    /// Its number, to requeue it.
    id: i64,
    /// The projection that failed; null in a letter of the TypeScript library.
    projection: Option<String>,
    /// The version of the plugin that failed last.
    plugin_version: Option<String>,
    /// The place of the event in the log.
    position: i64,
    /// The tenant of the event.
    tenant: String,
    /// Its label in the outbox.
    topic: Option<String>,
    /// How often it was tried.
    attempts: i32,
    /// Why it failed last.
    error: Option<String>,
    /// What kind of failure that was.
    error_class: Option<ClassBody>,
    /// What the database said of the statement that failed, where one did.
    sqlstate: Option<String>,
    /// That statement.
    failed_sql: Option<String>,
    /// The first failure.
    first_failed_at: Option<DateTime<Utc>>,
    /// When it was given up.
    dead_lettered_at: DateTime<Utc>,
    /// The type of the event.
    event_type: Option<String>,
    /// The kind of its aggregate.
    aggregate: Option<String>,
    /// Its aggregate.
    aggregate_id: Option<String>,
    /// Its place in its stream.
    version: Option<i32>,
}

/// What kind of failure made a dead letter.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ErrorClass)]
pub(super) enum ClassBody {
    /// The plugin, or the database, refused the event.
    Poison,
    /// The plugin is wrong, for every event.
    Fatal,
    /// What could have passed did not, as often as it was tried.
    Retry,
    /// The plugin was stopped: it panicked, or went beyond a limit.
    Trap,
}

impl From<ErrorClass> for ClassBody {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Poison => Self::Poison,
            ErrorClass::Fatal => Self::Fatal,
            ErrorClass::Retry => Self::Retry,
            ErrorClass::Trap => Self::Trap,
        }
    }
}

impl ClassBody {
    fn as_str(self) -> &'static str {
        match self {
            Self::Poison => ErrorClass::Poison,
            Self::Fatal => ErrorClass::Fatal,
            Self::Retry => ErrorClass::Retry,
            Self::Trap => ErrorClass::Trap,
        }
        .as_str()
    }
}

impl From<DeadLetter> for LetterBody {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            projection: letter.projection,
            plugin_version: letter.plugin_version,
            position: letter.position,
            tenant: letter.tenant,
            topic: letter.topic,
            attempts: letter.attempts,
            error: letter.error,
            error_class: class(letter.error_class.as_deref()),
            sqlstate: letter.sqlstate,
            failed_sql: letter.failed_sql,
            first_failed_at: letter.first_failed_at,
            dead_lettered_at: letter.dead_lettered_at,
            event_type: letter.event_type,
            aggregate: letter.aggregate,
            aggregate_id: letter.aggregate_id,
            version: letter.version,
        }
    }
}

fn class(name: Option<&str>) -> Option<ClassBody> {
    name?.parse().ok().map(ErrorClass::into)
}

/// Dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetters)]
pub(super) struct LettersBody {
    dead_letters: Vec<LetterBody>,
    /// What to give as `before` for the next page; null after the last one.
    before: Option<i64>,
}

/// Read dead letters
///
/// Those of one tenant's events, newest first.
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "listDeadLetters",
    tag = "operation",
    params(
        ("projection" = Option<String>, Query, description = "Only of this projection"),
        ("error_class" = Option<ClassBody>, Query, description = "Only of this class of errors"),
        ("from_position" = Option<i64>, Query, minimum = 1,
            description = "Only of events from this position on"),
        ("to_position" = Option<i64>, Query, minimum = 1,
            description = "Only of events up to this position"),
        ("since" = Option<DateTime<Utc>>, Query,
            description = "Only those given up at this time or later"),
        ("until" = Option<DateTime<Utc>>, Query, description = "Only those given up before this time"),
        ("before" = Option<i64>, Query, minimum = 0, description = "Only those older than this one"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Letters, at most [default: 100]"),
    ),
    responses((status = 200, description = "A page of dead letters", body = LettersBody), ReadProblems),
)]
pub(super) async fn list(
    State(api): State<Api>,
    tenant: Tenant,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[
        "projection",
        "error_class",
        "from_position",
        "to_position",
        "since",
        "until",
        "before",
        "limit",
    ])?;
    let limit = params.number("limit", 1, api.limits.page)?.unwrap_or(PAGE.min(api.limits.page));
    let filter = LetterFilter {
        ids: None,
        projection: params.one("projection")?,
        tenant: Some(&tenant.0.tenant),
        before: params.number("before", 0, MAX_POSITION)?,
        error_class: params.parsed::<ErrorClass>("error_class")?.map(ErrorClass::as_str),
        from_position: params.number("from_position", 1, MAX_POSITION)?,
        to_position: params.number("to_position", 1, MAX_POSITION)?,
        since: params.time("since")?,
        until: params.time("until")?,
    };
    let letters = store::dead_letters(tenant.0.store.pool(), &filter, limit).await;
    let letters = letters.map_err(|error| Problem::of_database(&error))?;
    let full = letters.len() as i64 == limit;
    let before = letters.last().map(|letter| letter.id).filter(|_| full);
    let dead_letters = letters.into_iter().map(Into::into).collect();
    Ok(json(&LettersBody { dead_letters, before }))
}

/// A dead letter and its event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterWithEvent)]
pub(super) struct ShownBody {
    dead_letter: LetterBody,
    /// Null where it is no longer in the log.
    event: Option<EventBody>,
}

/// Read a dead letter
///
/// With its event, and the statement that failed.
#[utoipa::path(
    get,
    path = "/dead-letters/{letter}",
    operation_id = "getDeadLetter",
    tag = "operation",
    params(("letter" = i64, Path, minimum = 1, description = "The letter")),
    responses((status = 200, description = "The letter", body = ShownBody), ReadProblems),
)]
pub(super) async fn get(
    tenant: Tenant,
    LetterId(id): LetterId,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let home = &tenant.0;
    let found = store::dead_letter(home.store.pool(), id, Some(&home.tenant)).await;
    match found.map_err(|error| Problem::of_store(&error, &home.tenant))? {
        Some((letter, event)) => {
            Ok(json(&ShownBody { dead_letter: letter.into(), event: event.map(Into::into) }))
        }
        None => Err(not_there()),
    }
}

/// Which letters: those that all the fields speak of, which are given. To mean all of a tenant's, give
/// `all` and nothing else.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WhichDeadLetters)]
pub(super) struct WhichBody {
    /// These.
    #[schema(nullable = false, min_items = 1)]
    ids: Option<Vec<i64>>,
    /// Of this projection.
    #[schema(nullable = false, min_length = 1)]
    projection: Option<String>,
    /// Of this class of errors.
    #[schema(nullable = false)]
    error_class: Option<ClassBody>,
    /// Of events from this position on.
    #[schema(nullable = false)]
    from_position: Option<i64>,
    /// Of events up to this position.
    #[schema(nullable = false)]
    to_position: Option<i64>,
    /// Given up at this time or later.
    #[schema(nullable = false)]
    since: Option<DateTime<Utc>>,
    /// Given up before this time.
    #[schema(nullable = false)]
    until: Option<DateTime<Utc>>,
    /// All of the tenant: `true`.
    #[schema(nullable = false)]
    all: Option<bool>,
}

impl WhichBody {
    /// The same, checked, for the letters of one tenant.
    fn filter<'a>(&'a self, tenant: &'a str, page: i64) -> Result<LetterFilter<'a>, Problem> {
        let invalid = |detail: String| Err(Problem::new(Code::InvalidBody, detail));
        let filter = LetterFilter {
            ids: self.ids.as_deref(),
            projection: self.projection.as_deref(),
            tenant: None,
            before: None,
            error_class: self.error_class.map(ClassBody::as_str),
            from_position: self.from_position,
            to_position: self.to_position,
            since: self.since,
            until: self.until,
        };
        match (filter == LetterFilter::ALL, self.all) {
            (false, None) | (true, Some(true)) => {}
            (true, None) => return invalid("say which ones, or `\"all\": true`".to_owned()),
            (_, Some(false)) => return invalid("all: it is true, or left out".to_owned()),
            (false, Some(true)) => return invalid("all: it stands alone".to_owned()),
        }
        if filter.ids.is_some_and(|ids| ids.is_empty() || ids.len() as i64 > page) {
            return invalid(format!("ids: from 1 to {page} of them"));
        }
        check_given("projection", filter.projection)?;
        Ok(LetterFilter { tenant: Some(tenant), ..filter })
    }
}

/// How many went back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Requeued)]
pub(super) struct RequeuedBody {
    /// Letters that went back to their projections.
    requeued: i64,
}

/// Requeue dead letters
///
/// Hands events of one tenant once more to the projection that failed, and to no other, in the order of
/// their streams.
#[utoipa::path(
    post,
    path = "/dead-letters/requeue",
    operation_id = "requeueDeadLetters",
    tag = "operation",
    request_body = WhichBody,
    responses((status = 200, description = "How many went back", body = RequeuedBody), BodyProblems),
)]
pub(super) async fn requeue(
    State(api): State<Api>,
    tenant: Tenant,
    Json(body): Json<WhichBody>,
) -> Result<Response, Problem> {
    let filter = body.filter(&tenant.0.tenant, api.limits.page)?;
    let pool = tenant.0.store.pool();
    let requeued = store::requeue(pool, &filter).await.map_err(|e| Problem::of_database(&e))?;
    done(pool, requeued, &filter).await?;
    Ok(json(&RequeuedBody { requeued }))
}

/// How many are gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Purged)]
pub(super) struct PurgedBody {
    /// Letters that were deleted.
    purged: i64,
}

/// Purge dead letters
///
/// Deletes letters of one tenant for good: their projections never get these events.
#[utoipa::path(
    post,
    path = "/dead-letters/purge",
    operation_id = "purgeDeadLetters",
    tag = "operation",
    request_body = WhichBody,
    responses((status = 200, description = "How many are gone", body = PurgedBody), BodyProblems),
)]
pub(super) async fn purge(
    State(api): State<Api>,
    tenant: Tenant,
    Json(body): Json<WhichBody>,
) -> Result<Response, Problem> {
    let filter = body.filter(&tenant.0.tenant, api.limits.page)?;
    let pool = tenant.0.store.pool();
    let purged = store::purge(pool, &filter).await.map_err(|e| Problem::of_database(&e))?;
    done(pool, purged, &filter).await?;
    Ok(json(&PurgedBody { purged }))
}

/// Tells the hosts of what has changed; letters that were named and are not there are an error.
async fn done(pool: &PgPool, number: i64, filter: &LetterFilter<'_>) -> Result<(), Problem> {
    if number == 0 && filter.ids.is_some() {
        return Err(not_there());
    }
    if let Err(error) = store::notify_events(pool).await {
        tracing::debug!(%error, "retries will be found by polling");
    }
    Ok(())
}

fn not_there() -> Problem {
    Problem::new(Code::DeadLetterNotFound, "none of them is there; see /v1/dead-letters")
}
