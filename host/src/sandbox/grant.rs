//! What an operator lets a plugin use beyond its own schema. Grants are of names and live in the
//! database; what they mean is looked up whenever a statement is judged, so no host has to follow them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgExecutor};

use super::endpoint::Endpoint;
use super::error::{SandboxError, while_doing};
use super::roles::{self, Names};
use super::{Sandbox, borrowers, rights};
use crate::event::is_name;

/// What a grant lets a plugin do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// Read a table or a view, or all of another plugin's schema.
    Read,
    /// Call a function, which runs with the plugin's rights.
    Call,
    /// Call a function that runs with the rights of its owner (SECURITY DEFINER).
    CallDefiner,
    /// Append events to streams of an aggregate.
    Append,
    /// Send requests to a server, in the clear.
    Http,
    /// Send requests to a server that proves who it is.
    Https,
}

impl GrantKind {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Call => "call",
            Self::CallDefiner => "call-definer",
            Self::Append => "append",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether it is of servers, and not of the database.
    pub fn is_of_servers(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// A grant as an operator writes it: `read:public.airports`, `read:carriers.*`,
/// `call:public.distance(double precision, double precision)`, `append:Account`, `https:hooks.example.com:443`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// What it lets a plugin do.
    pub kind: GrantKind,
    /// With what, schema included; or the aggregate.
    pub target: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.target)
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, target) = text.split_once(':').unwrap_or((text, ""));
        let kind = kind_of(kind)
            .ok_or_else(|| format!("there is no grant of the kind `{kind}`: {KINDS}"))?;
        if target.trim().is_empty() {
            return Err(format!("`{text}` names nothing to {}: {KINDS}", kind.as_str()));
        }
        let target = match kind.is_of_servers() {
            true => Endpoint::parse(kind == GrantKind::Https, target.trim())
                .map_err(|why| format!("`{text}` names no server: {why}"))?
                .to_string(),
            false => target.trim().to_owned(),
        };
        Ok(Self { kind, target })
    }
}

const KINDS: &str = "give read:SCHEMA.TABLE, read:PLUGIN.*, call:SCHEMA.FUNCTION(TYPES), call-definer:… \
                     for a SECURITY DEFINER function, append:AGGREGATE, or https:HOST:PORT (http:…) for a \
                     server";

fn kind_of(name: &str) -> Option<GrantKind> {
    use GrantKind::{Append, Call, CallDefiner, Http, Https, Read};
    let kinds = [Read, Call, CallDefiner, Append, Http, Https];
    kinds.into_iter().find(|kind| kind.as_str() == name)
}

/// A grant that a plugin has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// What was granted.
    #[serde(flatten)]
    pub grant: Grant,
    /// Since when.
    pub granted_at: DateTime<Utc>,
    /// By whom.
    pub granted_by: Option<String>,
}

/// What of the grants of a plugin is there now: object ids, and the names that operators know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Granted {
    pub relations: BTreeMap<u32, String>,
    pub functions: BTreeMap<u32, String>,
}

impl Granted {
    /// Which of these objects are there by a grant, as `read …` and `call …`.
    pub fn used<'a>(&'a self, of: &'a super::tree::Facts) -> impl Iterator<Item = String> + 'a {
        let relations = of.relations.iter().filter_map(|id| self.relations.get(id));
        let functions = of.functions.iter().filter_map(|id| self.functions.get(id));
        let relations = relations.map(|name| format!("read {name}"));
        relations.chain(functions.map(|name| format!("call {name}")))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let relations = self.relations.values().map(|name| format!("read {name}"));
        relations.chain(self.functions.values().map(|name| format!("call {name}")))
    }
}

/// Looks up what a plugin is granted.
pub(super) async fn granted(conn: &mut PgConnection, plugin: &str) -> sqlx::Result<Granted> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as(include_str!("sql/granted.sql")).bind(plugin).fetch_all(conn).await?;
    let mut granted = Granted::default();
    for (what, id, name) in rows {
        let id = u32::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))?;
        match what.as_str() {
            "relation" => granted.relations.insert(id, name),
            _ => granted.functions.insert(id, name),
        };
    }
    Ok(granted)
}

/// The aggregates that a plugin may append to.
pub async fn appendable(
    executor: impl PgExecutor<'_>,
    plugin: &str,
) -> sqlx::Result<BTreeSet<String>> {
    let targets: Vec<String> = sqlx::query_scalar(
        "SELECT target FROM eventfabric.plugin_grants WHERE plugin_name = $1 AND kind = 'append'",
    )
    .bind(plugin)
    .fetch_all(executor)
    .await?;
    Ok(targets.into_iter().collect())
}

const CONTEXT: &str = "changing what a plugin is granted";

impl Sandbox {
    /// What a plugin is granted.
    ///
    /// # Errors
    /// The database's.
    pub async fn grants(&self, plugin: &str) -> Result<Vec<Given>, SandboxError> {
        let rows: Vec<(String, String, DateTime<Utc>, Option<String>)> = sqlx::query_as(
            "SELECT kind, target, granted_at, granted_by FROM eventfabric.plugin_grants
             WHERE plugin_name = $1 ORDER BY kind, target",
        )
        .bind(plugin)
        .fetch_all(&self.control)
        .await
        .map_err(while_doing("reading what a plugin is granted"))?;
        let given = rows.into_iter().filter_map(|(kind, target, granted_at, granted_by)| {
            let grant = Grant { kind: kind_of(&kind)?, target };
            Some(Given { grant, granted_at, granted_by })
        });
        Ok(given.collect())
    }

    /// Gives a plugin grants and takes others away, all of it or nothing. It holds for every host when
    /// this returns: the plugin's roles have exactly the rights, and statements that used what was taken
    /// away are refused at their next use. The plugin need not be deployed yet.
    ///
    /// Answers rights that somebody else has given the plugin's roles, and that only he can take away: the
    /// statements that do.
    ///
    /// # Errors
    /// [`SandboxError::Grant`] for what can't be granted, [`SandboxError::NotGranted`] for what can't be
    /// taken away, [`SandboxError::Rights`] for what the host may not pass on.
    pub async fn change_grants(
        &self,
        plugin: &str,
        add: &[Grant],
        remove: &[Grant],
        by: Option<&str>,
    ) -> Result<Vec<String>, SandboxError> {
        let mut conn = self.control.acquire().await.map_err(while_doing(CONTEXT))?;
        match self.change_grants_on(&mut conn, plugin, add, remove, by).await {
            Err(error) if error.is_denied() => {
                // With it ends the lock.
                conn.close_on_drop();
                drop(conn);
                let fresh = crate::db::new_session(&self.control).await;
                let mut fresh = fresh.map_err(while_doing(CONTEXT))?;
                self.change_grants_on(&mut fresh, plugin, add, remove, by).await
            }
            done => done,
        }
    }

    async fn change_grants_on(
        &self,
        conn: &mut PgConnection,
        plugin: &str,
        add: &[Grant],
        remove: &[Grant],
        by: Option<&str>,
    ) -> Result<Vec<String>, SandboxError> {
        let names = self.names(plugin).await?;
        let mut tx = conn.begin().await.map_err(while_doing(CONTEXT))?;
        roles::lock(&mut tx).await?;
        for grant in remove {
            if !take(&mut tx, &names, grant).await? {
                return Err(SandboxError::NotGranted {
                    plugin: plugin.to_owned(),
                    grant: grant.to_string(),
                });
            }
        }
        for grant in add {
            let target = self.checked(&mut tx, &names, grant).await?;
            sqlx::query(
                "INSERT INTO eventfabric.plugin_grants (plugin_name, kind, target, granted_by)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(plugin)
            .bind(grant.kind.as_str())
            .bind(target)
            .bind(by)
            .execute(&mut *tx)
            .await
            .map_err(while_doing(CONTEXT))?;
        }
        let granted = granted(&mut tx, plugin).await.map_err(while_doing(CONTEXT))?;
        let still: Vec<String> = granted.names().collect();
        borrowers::forget(&mut tx, plugin, &still).await.map_err(while_doing(CONTEXT))?;
        let mut left = Vec::new();
        for names in [&names, &names.shadow()] {
            left.extend(rights::mend(&mut tx, names, &granted).await?);
        }
        left.extend(rights::mend(&mut tx, &names.old(), &Granted::default()).await?);
        tx.commit().await.map_err(while_doing(CONTEXT))?;
        Ok(left)
    }

    /// The target of a grant as the server writes it, where it can be granted.
    async fn checked(
        &self,
        conn: &mut PgConnection,
        names: &Names,
        grant: &Grant,
    ) -> Result<String, SandboxError> {
        if grant.kind.is_of_servers() {
            return Ok(grant.target.clone());
        }
        let refused = |reason: &str| {
            Err(SandboxError::Grant { grant: grant.to_string(), reason: reason.to_owned() })
        };
        if grant.kind == GrantKind::Append {
            // There need not be a stream of it yet.
            return match is_name(&grant.target) {
                true => Ok(grant.target.clone()),
                false => refused("no aggregate can have this name"),
            };
        }
        let Some(found) = look_up(conn, grant).await? else {
            return refused(match grant.kind {
                GrantKind::Read => {
                    "there is no such table, view or schema; name tables with their schema, and deploy the \
                     plugin first whose tables they are"
                }
                _ => {
                    "there is no such function; name it with its schema and, in parentheses, the types of its \
                     parameters, as in public.distance(double precision, double precision)"
                }
            });
        };
        match found.schema.as_str() {
            "eventfabric" | "eventfabric_calls" => {
                return refused("what the host keeps there is nobody's but the host's");
            }
            "pg_catalog" | "information_schema" | "pg_toast" => {
                return refused(match grant.kind {
                    GrantKind::Read => "the server's own tables are given to no plugin",
                    _ => {
                        "of PostgreSQL's own functions plugins have those that are harmless, and \
                         none of the others"
                    }
                });
            }
            schema if schema.starts_with("pg_") => {
                return refused("what is temporary belongs to a session");
            }
            schema if schema == names.schema => return refused("it is the plugin's own"),
            _ => {}
        }
        if let Some(plugin) = &found.plugin {
            if *plugin == names.plugin || self.names(plugin).await?.schema != found.schema {
                return refused("tables of a rebuild come and go; name those that are served");
            }
        } else if found.kind == "*" {
            return refused("only a plugin's schema can be granted as a whole; name the tables");
        }
        match (grant.kind, found.kind.as_str()) {
            (GrantKind::Read, "*" | "r" | "p" | "v" | "m") => {}
            (GrantKind::Read, _) => return refused("it is no table and no view"),
            (_, "procedure") => return refused("it is a procedure, which no statement can call"),
            (GrantKind::Call, "definer") => {
                return refused(
                    "it is SECURITY DEFINER: whoever calls it has the rights of its owner there. If \
                     that is meant to be, grant it as call-definer:…",
                );
            }
            _ => {}
        }
        Ok(found.target)
    }
}

/// What a grant names.
#[derive(sqlx::FromRow)]
struct Found {
    target: String,
    schema: String,
    /// The plugin whose schema it is.
    plugin: Option<String>,
    /// `*` for a schema, the kind of a relation, or that of a function.
    kind: String,
}

async fn look_up(conn: &mut PgConnection, grant: &Grant) -> Result<Option<Found>, SandboxError> {
    let (schema, sql) = match (grant.kind, grant.target.strip_suffix(".*")) {
        (GrantKind::Read, Some(schema)) => (
            schema,
            "SELECT pg_catalog.format('%I.*', n.nspname) AS target, n.nspname::text AS schema,
                    s.plugin_name AS plugin, '*' AS kind
             FROM pg_catalog.pg_namespace n
             LEFT JOIN eventfabric.plugin_schemas s ON s.schema_name = n.nspname
             WHERE n.oid = pg_catalog.to_regnamespace($1)",
        ),
        (GrantKind::Read, None) => (
            grant.target.as_str(),
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS target,
                    n.nspname::text AS schema, s.plugin_name AS plugin, c.relkind::text AS kind
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN eventfabric.plugin_schemas s ON s.schema_name = n.nspname
             WHERE c.oid = pg_catalog.to_regclass($1)",
        ),
        _ => (
            grant.target.as_str(),
            "SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                                      pg_catalog.oidvectortypes(p.proargtypes)) AS target,
                    n.nspname::text AS schema, s.plugin_name AS plugin,
                    CASE WHEN p.prokind = 'p' THEN 'procedure' WHEN p.prosecdef THEN 'definer'
                         ELSE 'function' END AS kind
             FROM pg_catalog.pg_proc p
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             LEFT JOIN eventfabric.plugin_schemas s ON s.schema_name = n.nspname
             WHERE p.oid = pg_catalog.to_regprocedure($1)",
        ),
    };
    let found = sqlx::query_as(sql).bind(schema).fetch_optional(conn).await;
    found.map_err(|error| match error.as_database_error() {
        // The name itself is wrong, or a type that it names is not there.
        Some(said)
            if said.code().is_some_and(|code| code.starts_with("42") || code.starts_with("22")) =>
        {
            SandboxError::Grant { grant: grant.to_string(), reason: said.message().to_owned() }
        }
        _ => while_doing(CONTEXT)(error),
    })
}

/// Takes a grant away. What it names need not be there any more.
async fn take(conn: &mut PgConnection, names: &Names, grant: &Grant) -> Result<bool, SandboxError> {
    let written: Vec<String> = sqlx::query_scalar(
        "SELECT target FROM eventfabric.plugin_grants WHERE plugin_name = $1 AND kind = $2",
    )
    .bind(&names.plugin)
    .bind(grant.kind.as_str())
    .fetch_all(&mut *conn)
    .await
    .map_err(while_doing(CONTEXT))?;
    let target = match written.into_iter().find(|target| *target == grant.target) {
        Some(target) => target,
        None if grant.kind == GrantKind::Append || grant.kind.is_of_servers() => return Ok(false),
        // Perhaps in other words.
        None => match look_up(conn, grant).await? {
            Some(found) => found.target,
            None => return Ok(false),
        },
    };
    let taken = sqlx::query(
        "DELETE FROM eventfabric.plugin_grants
         WHERE plugin_name = $1 AND kind = $2 AND target = $3",
    )
    .bind(&names.plugin)
    .bind(grant.kind.as_str())
    .bind(target)
    .execute(conn)
    .await
    .map_err(while_doing(CONTEXT))?;
    Ok(taken.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_kind_and_a_name_and_other_kinds_are_refused_by_name() {
        let grant: Grant = "read: public.airports ".parse().unwrap();
        assert_eq!((grant.kind, grant.target.as_str()), (GrantKind::Read, "public.airports"));
        assert_eq!(
            "call-definer:a.f(int)".parse::<Grant>().unwrap().to_string(),
            "call-definer:a.f(int)"
        );
        let server: Grant = "https:Hooks.example.com".parse().unwrap();
        assert_eq!(server.to_string(), "https:hooks.example.com:443");
        for (text, word) in [
            ("event-store:all", "`event-store`"),
            ("write:public.airports", "`write`"),
            ("public.airports", "`public.airports`"),
            ("read:", "names nothing"),
            ("https:", "names nothing"),
            ("https://hooks.example.com", "names no server"),
            ("http:*:80", "names no server"),
            ("", "``"),
        ] {
            let error = text.parse::<Grant>().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
