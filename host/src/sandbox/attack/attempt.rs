//! Tries one attack in a transaction that is rolled back.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{Attack, Deed, PATIENCE, Stop, Walls};
use crate::projection::Migration;
use crate::sandbox::SandboxConfig;
use crate::sandbox::error::{SandboxError, SqlError, SqlErrorKind, while_doing};
use crate::sandbox::grant::{self, Granted};
use crate::sandbox::migrate::{self, Steps};
use crate::sandbox::rights;
use crate::sandbox::roles::{self, CALLS, Host, Names, ident};
use crate::sandbox::statement::{self, Place};

const CONTEXT: &str = "preparing the ground for an attack";

/// The tables of the attacker.
const OWN: &str = include_str!("sql/own.sql");
/// Those of its neighbour.
const OTHER: &str = "CREATE TABLE secrets (id bigint PRIMARY KEY, s text); \
                     CREATE VIEW whispers AS SELECT s FROM secrets; CREATE SEQUENCE turns";

/// What an operator has beside the plugins. The first table and the first function are granted.
const LENT: &str = include_str!("sql/lent.sql");
/// Tables, indexes and so on that the attacker may have.
const RELATIONS: usize = 100;

/// How long one transaction is used for one attack after the other: it keeps deploys waiting.
const TURN: Duration = Duration::from_secs(2);

/// A transaction in which attacks are tried one after the other, each behind a savepoint. After one
/// that was not stopped the connection is dropped, whatever state it is in.
pub(crate) struct Session<'a> {
    options: &'a PgConnectOptions,
    config: &'a SandboxConfig,
    open: Option<(PgConnection, Ground, Instant)>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(options: &'a PgConnectOptions, config: &'a SandboxConfig) -> Self {
        Self { options, config, open: None }
    }

    /// Tries one attack, and tells what stopped it and the answer that it got.
    pub async fn attempt(
        &mut self,
        walls: Walls,
        attack: &'static Attack,
    ) -> Result<(Option<Stop>, String), SandboxError> {
        let (mut conn, ground, since) = self.ready().await?;
        conn.execute("SAVEPOINT attack").await.map_err(while_doing(CONTEXT))?;
        let Err(stopped) = ground.attempt(&mut conn, self.config, walls, attack).await else {
            let through = (None, "nothing stopped it".to_owned());
            // With a wall missing many get through, and few reach beyond the transaction.
            let keep = walls != Walls::Both && !attack.leaves;
            if keep && conn.execute("ROLLBACK TO attack").await.is_ok() {
                self.open = Some((conn, ground, since));
            } else {
                let _ = conn.close().await;
            }
            return Ok(through);
        };
        if conn.execute("ROLLBACK TO attack").await.is_ok() {
            self.open = Some((conn, ground, since));
        }
        Ok((Some(stopped.by), stopped.answer))
    }

    /// The transaction, or a new one where that is open for long.
    async fn ready(&mut self) -> Result<(PgConnection, Ground, Instant), SandboxError> {
        let mut conn = match self.open.take() {
            Some(open) if open.2.elapsed() < TURN => return Ok(open),
            Some((mut conn, ..)) => {
                conn.execute("ROLLBACK").await.map_err(while_doing(CONTEXT))?;
                conn
            }
            None => PgConnection::connect_with(self.options).await.map_err(while_doing(CONTEXT))?,
        };
        conn.execute("BEGIN").await.map_err(while_doing(CONTEXT))?;
        let ground = Ground::prepare(&mut conn).await?;
        Ok((conn, ground, Instant::now()))
    }

    pub(crate) async fn close(self) {
        if let Some((conn, ..)) = self.open {
            let _ = conn.close().await;
        }
    }
}

/// What stopped an attack, and how it said so.
struct Stopped {
    by: Stop,
    answer: String,
}

impl Stopped {
    fn new(by: Stop, answer: impl Into<String>) -> Self {
        Self { by, answer: answer.into() }
    }

    /// A refusal by the server while the attack ran.
    fn running(error: sqlx::Error) -> Self {
        let error = SqlError::from(error);
        Self::new(by_sqlstate(&error.sqlstate), error.to_string())
    }
}

/// What an error of the server comes from, by its SQLSTATE.
fn by_sqlstate(sqlstate: &str) -> Stop {
    match sqlstate {
        // Rights; changes of the role and ends of the transaction inside a SECURITY DEFINER function.
        "42501" | "0A000" | "2D000" => Stop::WallTwo,
        "57014" | "55P03" => Stop::Limit,
        other if other.starts_with("53") || other.starts_with("54") => Stop::Limit,
        _ => Stop::Server,
    }
}

/// Two plugins that exist in one transaction alone.
struct Ground {
    host: Host,
    role: String,
    names: Names,
    other: Names,
}

impl Ground {
    /// Makes the roles, schemas and tables, under the sandbox's lock.
    async fn prepare(conn: &mut PgConnection) -> Result<Self, SandboxError> {
        let (database, role): (String, String) =
            sqlx::query_as("SELECT pg_catalog.current_database()::text, current_user::text")
                .fetch_one(&mut *conn)
                .await
                .map_err(while_doing(CONTEXT))?;
        let name = format!("attack_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let names = Names::new(&database, "", &name)?;
        let other = Names::new(&database, "", &format!("{name}_neighbour"))?;
        roles::lock(conn).await?;
        let mut ground = Self {
            host: roles::host(conn).await.map_err(while_doing(CONTEXT))?,
            role,
            names,
            other,
        };
        for (names, tables) in [(&ground.names, OWN), (&ground.other, OTHER)] {
            ground.host = roles::ensure(conn, names).await?;
            let runner =
                migrate::runner(conn, ground.host, names).await.map_err(while_doing(CONTEXT))?;
            let steps = Steps {
                names,
                runner: &runner,
                limits: migrate::LIMITS,
                relations: RELATIONS,
                known: &[],
            };
            let sql = tables.to_owned();
            let migration = Migration { number: 1, name: "tables".to_owned(), sql };
            migrate::apply(conn, &steps, &migration).await?;
            rights::mend(conn, names, &Granted::default()).await?;
        }
        ground.lend(conn).await?;
        Ok(ground)
    }

    /// Makes the operator's tables and functions, and grants some of them to the attacker.
    async fn lend(&self, conn: &mut PgConnection) -> Result<(), SandboxError> {
        let lent = self.lent();
        let make = format!("CREATE SCHEMA {lent}; SET LOCAL search_path = {lent}, pg_temp; {LENT}");
        roles::run(conn, make).await.map_err(while_doing(CONTEXT))?;
        sqlx::query(
            "INSERT INTO eventfabric.plugin_grants (plugin_name, kind, target)
             VALUES ($1, 'read', $2 || '.places'), ($1, 'call', $2 || '.measure(bigint)')",
        )
        .bind(&self.names.plugin)
        .bind(&lent)
        .execute(&mut *conn)
        .await
        .map_err(while_doing(CONTEXT))?;
        roles::run(conn, "SET LOCAL search_path = ''".to_owned())
            .await
            .map_err(while_doing(CONTEXT))?;
        let granted = grant::granted(conn, &self.names.plugin).await;
        let granted = granted.map_err(while_doing(CONTEXT))?;
        rights::mend(conn, &self.names, &granted).await.map(drop)
    }

    fn lent(&self) -> String {
        format!("{}_lent", self.names.schema)
    }

    fn text(&self, deed: Deed) -> String {
        let text = match deed {
            Deed::Statement(text) | Deed::Migration(text) => text.to_owned(),
            Deed::Grown(text) | Deed::GrownMigration(text) => text(),
        };
        text.replace("{own}", &self.names.schema)
            .replace("{other}", &self.other.schema)
            .replace("{lent}", &self.lent())
            .replace("{host}", &ident(&self.role))
            .replace("{exec}", &ident(&self.names.exec))
    }

    /// Tries an attack; an error is what stopped it.
    async fn attempt(
        &self,
        conn: &mut PgConnection,
        config: &SandboxConfig,
        walls: Walls,
        attack: &Attack,
    ) -> Result<(), Stopped> {
        let text = self.text(attack.deed);
        if attack.migrates() {
            return match walls {
                #[cfg(test)]
                Walls::TwoOnly => self.any_text(conn, attack, &self.names.owner, &text).await,
                _ => self.migration(conn, walls, attack, &text).await,
            };
        }
        config.allows_text(&text).map_err(|error| Stopped::new(Stop::Limit, error.message))?;
        match walls {
            #[cfg(test)]
            Walls::TwoOnly => self.any_text(conn, attack, &self.names.exec, &text).await,
            _ => self.statement(conn, config, walls, attack, &text).await,
        }
    }

    /// The role that is left to run things as.
    fn role(&self, walls: Walls, role: &'static str) -> String {
        match walls {
            #[cfg(test)]
            Walls::OneOnly => self.role.clone(),
            _ if role == "owner" => self.names.owner.clone(),
            _ => self.names.exec.clone(),
        }
    }

    async fn statement(
        &self,
        conn: &mut PgConnection,
        config: &SandboxConfig,
        walls: Walls,
        attack: &Attack,
        text: &str,
    ) -> Result<(), Stopped> {
        let role = self.role(walls, "exec");
        limit(conn, PATIENCE).await?;
        let place = Place { schema: CALLS, role: &role };
        let made = statement::make(conn, self.host, &self.names, place, text).await;
        let prepared = made.map_err(|error| {
            let by = match (error.kind, by_sqlstate(&error.sqlstate)) {
                (SqlErrorKind::Limit | SqlErrorKind::Retryable, _) | (_, Stop::Limit) => {
                    Stop::Limit
                }
                _ => Stop::WallOne,
            };
            Stopped::new(by, error.to_string())
        })?;
        limit(conn, attack.patience).await?;
        roles::run(conn, "SET LOCAL search_path = ''".to_owned())
            .await
            .map_err(Stopped::running)?;
        let nulls = vec!["NULL"; prepared.params.len().max(1)].join(", ");
        let rows = config.max_rows;
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM {}({nulls}) LIMIT {}) AS q",
            prepared.function,
            rows + 1
        );
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *conn)
            .await
            .map_err(Stopped::running)?;
        if found > rows as i64 {
            return Err(Stopped::new(Stop::Limit, format!("it returns more than {rows} rows")));
        }
        conn.execute("SET CONSTRAINTS ALL IMMEDIATE").await.map(drop).map_err(Stopped::running)
    }

    async fn migration(
        &self,
        conn: &mut PgConnection,
        walls: Walls,
        attack: &Attack,
        text: &str,
    ) -> Result<(), Stopped> {
        let broken = |error: sqlx::Error| Stopped::new(Stop::Server, error.to_string());
        let mut names = self.names.clone();
        names.owner = self.role(walls, "owner");
        let known = migrate::forbidden(conn, &names).await.map_err(broken)?;
        let runner = migrate::runner(conn, self.host, &names).await.map_err(broken)?;
        let limits = format!(
            "SET LOCAL statement_timeout = {0}; SET LOCAL lock_timeout = {0}",
            attack.patience.as_millis()
        );
        let steps = Steps {
            names: &names,
            runner: &runner,
            limits: &limits,
            relations: RELATIONS,
            known: &known,
        };
        let migration = Migration { number: 2, name: "attack".to_owned(), sql: text.to_owned() };
        migrate::apply(conn, &steps, &migration).await.map_err(|error| {
            let answer = error.to_string();
            let by = match answer.split_once("SQLSTATE ") {
                Some((_, rest)) => by_sqlstate(rest.get(..5).unwrap_or_default()),
                None if answer.contains("sandbox.max_relations") => Stop::Limit,
                None => Stop::WallOne,
            };
            Stopped::new(by, answer)
        })
    }
}

/// Nothing may take longer from now on.
async fn limit(conn: &mut PgConnection, patience: Duration) -> Result<(), Stopped> {
    let millis = patience.as_millis();
    let limits =
        format!("SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}");
    roles::run(conn, limits).await.map_err(Stopped::running)
}

#[cfg(test)]
impl Ground {
    /// Runs a text as a role of the plugin, whatever it is.
    async fn any_text(
        &self,
        conn: &mut PgConnection,
        attack: &Attack,
        role: &str,
        text: &str,
    ) -> Result<(), Stopped> {
        let mut names = self.names.clone();
        names.owner = role.to_owned();
        let runner = migrate::runner(conn, self.host, &names).await.map_err(Stopped::running)?;
        limit(conn, attack.patience).await?;
        sqlx::query(AssertSqlSafe(format!("SELECT {runner}($1)")))
            .bind(text)
            .execute(&mut *conn)
            .await
            .map_err(Stopped::running)?;
        conn.execute("SET CONSTRAINTS ALL IMMEDIATE").await.map(drop).map_err(Stopped::running)
    }
}

/// Tries an attack where no wall stands: as the role of this connection, whatever it is.
#[cfg(test)]
pub(crate) async fn control(
    session: &mut Session<'_>,
    attack: &'static Attack,
) -> Result<(), SqlError> {
    let (mut conn, ground, since) = session.ready().await.unwrap();
    let path = ident(&ground.names.schema);
    let millis = attack.patience.as_millis();
    let set = format!(
        "SAVEPOINT attack; SET LOCAL search_path = {path}; SET LOCAL statement_timeout = {millis}"
    );
    roles::run(&mut conn, set).await?;
    let done = roles::run(&mut conn, ground.text(attack.deed)).await;
    if !attack.leaves && conn.execute("ROLLBACK TO attack").await.is_ok() {
        session.open = Some((conn, ground, since));
    } else {
        // What it did to the transaction is its business.
        let _ = conn.execute("ROLLBACK").await;
        let _ = conn.execute("ROLLBACK PREPARED 'attack'").await;
        let _ = conn.close().await;
    }
    Ok(done?)
}
