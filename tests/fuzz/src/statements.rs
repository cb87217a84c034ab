//! The judge against what statements do.

use std::time::Duration;

use anyhow::Context as _;
use eventfabric::db::{self, Tx};
use eventfabric::sandbox::{Sandbox, SandboxConfig, SqlErrorKind};
use eventfabric_tests::{TestDb, database, description};
use rand::rngs::StdRng;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::Round;
use crate::deeds::{self, Deeds};
use crate::grammar::{Grammar, Names, TABLES};
use crate::server_log::ServerLog;

/// Statements of a round: each that is let through becomes a function.
const STATEMENTS: usize = 150;
/// What a statement may take.
const TIME: Duration = Duration::from_secs(2);

const ROWS: &str = "
    INSERT INTO ledger.accounts (id, owner, balance, rate, active, data, tags)
    SELECT n, 'owner ' || n, n * 7, n / 3.0, n % 2 = 0, '{\"a\": [1]}', ARRAY[n, n + 1]
    FROM generate_series(1, 20) n;
    INSERT INTO ledger.lines SELECT n, n, n, 'note' FROM generate_series(1, 20) n;
    INSERT INTO other.secrets (s) VALUES ('of another plugin');
    CREATE TABLE public.open_to_all (a int);
    GRANT ALL ON public.open_to_all TO PUBLIC;
    INSERT INTO public.open_to_all VALUES (1);
    INSERT INTO eventfabric.stream_versions (aggregate_name, aggregate_id, current_version)
    VALUES ('Account', '1', 1);
    INSERT INTO eventfabric.events
           (event_id, aggregate_name, aggregate_id, aggregate_version, type, version, payload)
    VALUES (gen_random_uuid(), 'Account', '1', 1, 'Opened', 1, '{\"secret\": 1}');
    INSERT INTO eventfabric.outbox (global_position) VALUES (1);
    INSERT INTO eventfabric.projection_checkpoints (projection_name) VALUES ('ledger')";

/// A database with two plugins, and what a superuser sees of it.
pub struct Place {
    pub db: TestDb,
    pub sandbox: Sandbox,
    pub eyes: PgConnection,
}

impl Place {
    /// Makes it.
    pub async fn new() -> anyhow::Result<Self> {
        let db = database().await;
        let sandbox = Sandbox::new(db::pool(db.options(), 2), SandboxConfig::default());
        sandbox.prepare(&description("ledger", &[TABLES])).await?;
        sandbox
            .prepare(&description("other", &["CREATE TABLE secrets (n bigserial, s text)"]))
            .await?;
        let mut eyes = PgConnection::connect_with(&db.superuser()).await?;
        sqlx::raw_sql(ROWS).execute(&mut eyes).await?;
        Ok(Self { db, sandbox, eyes })
    }

    /// Ends its connections, so that the database can be dropped.
    pub async fn end(self) -> anyhow::Result<()> {
        self.sandbox.close().await;
        self.eyes.close().await?;
        Ok(())
    }
}

/// What the server has, in an order that does not change.
async fn names(eyes: &mut PgConnection) -> anyhow::Result<Names> {
    let functions = sqlx::query(
        "SELECT pg_catalog.format('%I.%I', n.nspname, p.proname) AS name,
                ARRAY(SELECT CASE pg_catalog.format_type(a.of, NULL)
                                 WHEN 'anyarray' THEN 'integer[]'
                                 WHEN 'anyelement' THEN 'integer'
                                 WHEN '\"any\"' THEN 'text'
                                 ELSE pg_catalog.format_type(a.of, NULL) END
                      FROM unnest(p.proargtypes) WITH ORDINALITY AS a (of, n)
                      ORDER BY a.n) AS arguments
         FROM pg_catalog.pg_proc p
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prokind IN ('f', 'a') AND n.nspname NOT IN ('ledger', 'eventfabric_calls')
           AND NOT 'internal'::pg_catalog.regtype = ANY (p.proargtypes)
         ORDER BY 1, 2",
    );
    let functions = functions.fetch_all(&mut *eyes).await?.into_iter();
    let functions = functions.map(|row| Ok((row.try_get("name")?, row.try_get("arguments")?)));
    let types = sqlx::query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, t.typname)
         FROM pg_catalog.pg_type t
         JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typtype IN ('b', 'c', 'd', 'e', 'r', 'm') AND n.nspname <> 'ledger'
         ORDER BY 1",
    );
    let relations = sqlx::query_scalar(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
         FROM pg_catalog.pg_class c
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'v', 'S', 'm') AND n.nspname <> 'ledger'
         ORDER BY n.nspname LIKE 'pg_%' OR n.nspname = 'information_schema', 1",
    );
    let mut names = Names {
        functions: functions.collect::<sqlx::Result<_>>()?,
        types: types.fetch_all(&mut *eyes).await?,
        relations: relations.fetch_all(&mut *eyes).await?,
    };
    // Ours are as likely as the server's own, which are many.
    let ours: Vec<String> =
        names.relations.iter().filter(|name| !name.starts_with("pg_")).cloned().collect();
    names.relations.extend(ours);
    Ok(names)
}

/// Statements in which anything may stand: what is let through must touch nothing outside.
pub async fn hostile(rng: &mut StdRng) -> anyhow::Result<Round> {
    let mut place = Place::new().await?;
    let mut round = Round::default();
    let names = names(&mut place.eyes).await?;
    let sql = place.sandbox.plugin("ledger").await?;
    let pool = db::pool(place.db.options(), 1);
    // The host's own functions load the language, which has settings.
    sqlx::raw_sql("DO $$ BEGIN END $$").execute(&pool).await?;
    let clean = deeds::session(&mut *pool.acquire().await?).await?;
    let before = deeds::database(&mut place.eyes).await?;
    let log = ServerLog::from_now()?;
    for _ in 0..STATEMENTS {
        let text = Grammar::hostile(rng, &names);
        let mut tx = Tx::begin(&pool, TIME).await.with_context(|| text.clone())?;
        // The look itself reads the catalogue, so the first one is not like those after it.
        look(&mut tx).await?;
        let started = look(&mut tx).await?;
        let done = sql.query(&mut tx, &text, Vec::new()).await;
        match &done {
            Ok(_) => {
                round.count("let through");
                let seen = look(&mut tx).await.with_context(|| text.clone())?;
                for (seen, started) in seen.iter().zip(&started) {
                    let deeds = seen.since(started);
                    if !deeds.is_empty() {
                        round.found(format!("{text}\n    did: {deeds:?}"));
                    }
                }
            }
            Err(error) => match error.kind {
                SqlErrorKind::Connection => {
                    round.found(format!("{text}\n    lost its connection: {error}"));
                }
                kind => round.count(outcome(kind)),
            },
        }
        if tx.rollback().await.is_err() {
            round.found(format!("{text}\n    lost its connection"));
        }
        let after = deeds::session(&mut *pool.acquire().await?).await?.since(&clean);
        if !after.is_empty() {
            round.found(format!("{text}\n    left in its session: {after:?}"));
        }
    }
    let after = deeds::database(&mut place.eyes).await?.since(&before);
    if !after.is_empty() {
        round.found(format!("a statement of this round has changed: {after:?}"));
    }
    let logged = log.unusual(&place.db.name)?;
    if !logged.is_empty() {
        round.found(format!("statements of this round had the server log: {logged:#?}"));
    }
    db::close(&pool).await;
    place.end().await?;
    Ok(round)
}

/// What became of a statement that was not carried out.
fn outcome(kind: SqlErrorKind) -> &'static str {
    match kind {
        SqlErrorKind::Denied => "denied",
        SqlErrorKind::Invalid => "wrong",
        SqlErrorKind::Constraint => "refused by the data",
        SqlErrorKind::Limit => "over a limit",
        _ => "given up",
    }
}

async fn look(tx: &mut Tx) -> sqlx::Result<[Deeds; 2]> {
    Ok([deeds::inside(tx.conn()).await?, deeds::session(tx.conn()).await?])
}

/// Statements of a plugin that does its work: none may be denied.
pub async fn ordinary(rng: &mut StdRng) -> anyhow::Result<Round> {
    let place = Place::new().await?;
    let mut round = Round::default();
    let sql = place.sandbox.plugin("ledger").await?;
    let pool = db::pool(place.db.options(), 1);
    for _ in 0..STATEMENTS {
        let text = Grammar::ordinary(rng);
        let mut tx = Tx::begin(&pool, TIME).await?;
        match sql.query(&mut tx, &text, Vec::new()).await {
            Ok(_) => round.count("allowed"),
            Err(error) => match error.kind {
                SqlErrorKind::Denied | SqlErrorKind::Connection => {
                    round.found(format!("{text}\n    {:?}: {error}", error.kind));
                }
                kind => round.count(outcome(kind)),
            },
        }
        tx.rollback().await?;
    }
    // A grammar that writes what the server does not understand finds nothing.
    if round.counts.get("wrong").copied().unwrap_or_default() > STATEMENTS as u64 / 2 {
        round.found("more than half of the statements are wrong: mend the grammar".to_owned());
    }
    db::close(&pool).await;
    place.end().await?;
    Ok(round)
}
