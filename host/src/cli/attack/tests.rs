//! The attacks, three ways: against both walls, the first alone, and the second alone. And once with
//! none, as a superuser: what does no harm even then would be no proof.
//!
//! A wall can be missing in tests of this crate and nowhere else: what does without it is not
//! compiled into anything that runs.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::document;
use crate::sandbox::SandboxConfig;
use crate::sandbox::attack::{Attack, Group, Session, Stop, Walls, attacks, control, run_with};
use crate::{db, store};

/// A database of this test, migrated.
struct Database {
    administrator: PgConnectOptions,
    name: String,
}

impl Database {
    async fn new() -> Self {
        let administrator: PgConnectOptions = match std::env::var(eventfabric_testdb::SERVER) {
            Ok(url) => url.parse().unwrap(),
            Err(_) => eventfabric_testdb::server().await.unwrap().administrator(),
        };
        let name = format!("attacked_{}", uuid::Uuid::now_v7().simple());
        let owner = eventfabric_testdb::OWNER;
        let mut conn = db::connect(&administrator).await.unwrap();
        let create = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
        conn.execute(AssertSqlSafe(create)).await.unwrap();
        conn.close().await.unwrap();
        let database = Self { administrator, name };
        let pool = db::pool(database.owner(), 2);
        store::migrate::migrate(&pool).await.unwrap();
        pool.close().await;
        database
    }

    fn superuser(&self) -> PgConnectOptions {
        self.administrator.clone().database(&self.name)
    }

    fn owner(&self) -> PgConnectOptions {
        self.superuser().username(eventfabric_testdb::OWNER)
    }

    async fn drop(self) {
        let mut conn = db::connect(&self.administrator).await.unwrap();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        conn.execute(AssertSqlSafe(drop)).await.unwrap();
        conn.close().await.unwrap();
    }

    /// Everything that an attack could leave behind.
    async fn traces(&self) -> Vec<String> {
        let mut conn = db::connect(&self.superuser()).await.unwrap();
        sqlx::query_scalar(include_str!("traces.sql")).fetch_all(&mut conn).await.unwrap()
    }
}

/// What stopped each attack of a group: with both walls, with the first alone, with the second alone.
pub(super) struct Tried {
    pub attack: &'static Attack,
    pub both: Option<Stop>,
    pub one: Option<Stop>,
    pub two: Option<Stop>,
    answers: [String; 3],
}

async fn try_all(options: &PgConnectOptions) -> Vec<(Group, Vec<Tried>)> {
    let config = SandboxConfig::default();
    let mut all = Vec::new();
    for group in Group::ALL {
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
        all.push((group, tried.collect()));
    }
    all
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
            (None, None) => say(&format!("got past {wall} alone"), answer),
            (Some(_), Some(_)) => say(&format!("was stopped by {wall} alone after all"), answer),
            _ => {}
        }
    }
    surprises
}

#[tokio::test]
async fn every_attack_is_stopped_by_both_walls_and_by_each_as_far_as_it_can() {
    let database = Database::new().await;
    let before = database.traces().await;
    let all = try_all(&database.owner()).await;
    let after = database.traces().await;
    database.drop().await;
    let tried = || all.iter().flat_map(|(_, tried)| tried);
    let surprises: Vec<String> = tried().flat_map(surprises).collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert_eq!(before, after, "an attack left something behind");
    document::compare(&all);
}

/// Without a wall, and as a superuser, each does what it is after, or runs into the limit on time.
#[tokio::test]
async fn every_attack_does_harm_where_no_wall_stands() {
    let database = Database::new().await;
    let (options, config) = (database.superuser(), SandboxConfig::default());
    let mut session = Session::new(&options, &config);
    let mut surprises = Vec::new();
    for attack in Group::ALL.iter().flat_map(|group| attacks(*group)) {
        let done = control(&mut session, attack).await;
        let failed = match &done {
            Ok(()) => false,
            // Time, memory, size.
            Err(error) => !matches!(error.sqlstate.as_str(), "57014" | "54001" | "53200" | "54000"),
        };
        if failed != attack.vain.is_some() {
            surprises.push(format!("{}: {:?}", attack.name, done.map_err(|e| e.to_string())));
        }
    }
    session.close().await;
    // What has committed has left roles behind.
    let mut conn = db::connect(&database.superuser()).await.unwrap();
    let roles: Vec<String> =
        sqlx::query_scalar(include_str!("left_roles.sql")).fetch_all(&mut conn).await.unwrap();
    for role in roles {
        let drop = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
        conn.execute(sqlx::raw_sql(AssertSqlSafe(drop))).await.unwrap();
    }
    conn.close().await.unwrap();
    database.drop().await;
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
