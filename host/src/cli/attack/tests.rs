//! The attacks, three ways: against both walls, the first alone, and the second alone. And once with
//! none, as a superuser: what does no harm even then would be no proof.
//!
//! A wall can be missing in tests of this crate and nowhere else: what does without it is not
//! compiled into anything that runs.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::document;
use crate::db;
use crate::sandbox::SandboxConfig;
use crate::sandbox::attack::{Attack, Group, Session, Stop, Walls, attacks, control, run_with};
use crate::store::tests::TestDatabase;

/// Some servers are built without it, and refuse those attacks by themselves.
const NO_XML: &str = "unsupported XML feature";

async fn version(database: &TestDatabase) -> i32 {
    let mut conn = db::connect(&database.owner()).await.unwrap();
    let version = "SELECT current_setting('server_version_num')::int / 10000";
    sqlx::query_scalar(version).fetch_one(&mut conn).await.unwrap()
}

/// Everything that an attack could leave behind.
async fn traces(database: &TestDatabase) -> Vec<String> {
    let mut conn = db::connect(&database.superuser()).await.unwrap();
    sqlx::query_scalar(include_str!("sql/traces.sql")).fetch_all(&mut conn).await.unwrap()
}

/// What stopped each attack of a group: with both walls, with the first alone, with the second alone.
pub(super) struct Tried {
    pub attack: &'static Attack,
    pub both: Option<Stop>,
    pub one: Option<Stop>,
    pub two: Option<Stop>,
    answers: [String; 3],
}

async fn try_three_ways(options: &PgConnectOptions, group: Group) -> Vec<Tried> {
    let config = SandboxConfig::default();
    let run = |walls| run_with(options, &config, group, walls);
    let both = run(Walls::Both).await.unwrap();
    let one = run(Walls::OneOnly).await.unwrap();
    let two = run(Walls::TwoOnly).await.unwrap();
    let tried = both.into_iter().zip(one).zip(two).map(|((both, one), two)| Tried {
        attack: both.attack,
        both: both.stopped,
        one: one.stopped,
        two: two.stopped,
        answers: [both.answer, one.answer, two.answer],
    });
    tried.collect()
}

/// What is not as the list of attacks says.
fn surprises(tried: &Tried) -> Vec<String> {
    let Tried { attack, both, one, two, answers } = tried;
    let mut surprises = Vec::new();
    let mut say = |what: &str, answer: &str| {
        let answer: String = answer.chars().take(200).collect();
        surprises.push(format!("{}: {what}: {answer}", attack.name));
    };
    if both.is_none() {
        say("nothing stopped it", &answers[0]);
    }
    for (stopped, reason, wall, answer) in [
        (one, attack.passes_one, "the first wall", &answers[1]),
        (two, attack.passes_two, "the second wall", &answers[2]),
    ] {
        match (stopped, reason) {
            _ if answer.contains(NO_XML) => {}
            (None, None) => say(&format!("got past {wall} alone"), answer),
            (Some(_), Some(_)) => say(&format!("was stopped by {wall} alone after all"), answer),
            _ => {}
        }
    }
    surprises
}

/// Every attack of the group is stopped by both walls, and by each alone as far as the list says; and
/// nothing is left of any.
async fn withstands(group: Group) {
    let database = TestDatabase::new("attacked").await;
    let before = traces(&database).await;
    let tried = try_three_ways(&database.owner(), group).await;
    let after = traces(&database).await;
    let version = version(&database).await;
    database.drop().await;
    let surprises: Vec<String> = tried.iter().flat_map(surprises).collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert_eq!(before, after, "an attack left something behind");
    // Servers differ in what they refuse by themselves.
    if version == document::VERSION {
        document::compare(group, &tried);
    }
}

#[tokio::test]
async fn attacks_on_identity_are_stopped() {
    withstands(Group::Identity).await;
}

#[tokio::test]
async fn attacks_that_read_are_stopped() {
    withstands(Group::Reading).await;
}

#[tokio::test]
async fn attacks_that_write_are_stopped() {
    withstands(Group::Writing).await;
}

#[tokio::test]
async fn attacks_on_what_is_granted_are_stopped() {
    withstands(Group::Grants).await;
}

#[tokio::test]
async fn attacks_by_migrations_are_stopped() {
    withstands(Group::Migrations).await;
}

#[tokio::test]
async fn attacks_that_exhaust_are_stopped() {
    withstands(Group::Exhaustion).await;
}

#[tokio::test]
async fn attacks_by_trickery_are_stopped() {
    withstands(Group::Trickery).await;
}

/// Without a wall, and as a superuser, each does what it is after, or runs into the limit on time.
#[tokio::test]
async fn every_attack_does_harm_where_no_wall_stands() {
    let database = TestDatabase::new("attacked").await;
    let (options, config) = (database.superuser(), SandboxConfig::default());
    let mut session = Session::new(&options, &config);
    let mut surprises = Vec::new();
    for attack in Group::ALL.iter().flat_map(|group| attacks(*group)) {
        let done = control(&mut session, attack).await;
        let failed = match &done {
            Ok(()) => false,
            Err(error) if error.message == NO_XML => false,
            // Time, memory, size.
            Err(error) => {
                !matches!(error.sqlstate.as_str(), "57014" | "53200")
                    && !error.sqlstate.starts_with("54")
            }
        };
        if failed != attack.vain.is_some() {
            surprises.push(format!("{}: {:?}", attack.name, done.map_err(|e| e.to_string())));
        }
    }
    session.close().await;
    // What has committed has left roles behind.
    let mut conn = db::connect(&database.superuser()).await.unwrap();
    let roles: Vec<String> =
        sqlx::query_scalar(include_str!("sql/left_roles.sql")).fetch_all(&mut conn).await.unwrap();
    for role in roles {
        let drop = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
        conn.execute(sqlx::raw_sql(AssertSqlSafe(drop))).await.unwrap();
    }
    conn.close().await.unwrap();
    database.drop().await;
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
