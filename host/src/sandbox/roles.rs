//! The roles and the schema of a plugin. All names of the server that the sandbox uses are made
//! here.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use super::error::{SandboxError, SqlError, while_doing};

/// The schema of the functions that are made of statements.
pub(super) const CALLS: &str = "eventfabric_calls";

/// Names that PostgreSQL, the host or its operators use themselves.
const RESERVED: &[&str] =
    &["eventfabric", "eventfabric_calls", "information_schema", "public", "postgres", "host"];

/// How the schema's name ends in which a rebuild makes a plugin's tables anew.
const SHADOW: &str = "__rebuild";
/// How the schema's name ends whose tables a rebuild has replaced.
const OLD: &str = "__old";
/// The end of the name of the schema in which a plugin is looked at.
const SCRATCH: &str = "__check";

/// Whose schema, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The plugin.
    pub plugin: String,
    /// Its schema: the prefix and the plugin's name.
    pub schema: String,
    /// Owns the schema; migrations run as this role.
    pub owner: String,
    /// Owns the functions; statements run as this role.
    pub exec: String,
    /// May read the tables and nothing else; operators' queries run as this role.
    pub reader: String,
    /// A hash of the database's name.
    database: String,
}

impl Names {
    /// Checks the plugin's name. Roles belong to the whole server, so theirs begin with a hash of
    /// the database's name.
    pub fn new(database: &str, prefix: &str, plugin: &str) -> Result<Self, SandboxError> {
        let wrong = |why| Err(SandboxError::Name(plugin.to_owned(), why));
        let mut letters = plugin.bytes();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !letters.next().is_some_and(|b| b.is_ascii_lowercase()) || !letters.all(plain) {
            return wrong("use lower-case letters, digits and _, beginning with a letter");
        }
        if plugin.len() > 48 {
            return wrong("it is longer than 48 characters");
        }
        let schema = format!("{prefix}{plugin}");
        if schema.len() > 63 || !schema.bytes().all(plain) {
            return wrong("with the prefix of the schemas it is no plain name of at most 63 bytes");
        }
        let reserved = |name: &str| RESERVED.contains(&name) || name.starts_with("pg_");
        if reserved(plugin) || reserved(&schema) {
            return wrong("it is reserved");
        }
        if [SHADOW, OLD, SCRATCH].iter().any(|end| plugin.ends_with(end)) {
            return wrong("names that end so are those of rebuilds and of looks at a plugin");
        }
        Ok(Self::known(database, plugin, schema))
    }

    /// Those of a schema that the host has made.
    pub fn known(database: &str, plugin: &str, schema: String) -> Self {
        Self::of_schema(hash(database), plugin, schema)
    }

    /// Whether these are the tables that a rebuild has replaced.
    pub fn is_old(&self) -> bool {
        self.schema.ends_with(OLD)
    }

    /// Where a rebuild of the plugin makes its tables.
    pub fn shadow(&self) -> Self {
        self.beside(SHADOW)
    }

    /// Where the tables are kept that a rebuild has replaced.
    pub fn old(&self) -> Self {
        self.beside(OLD)
    }

    /// Where a plugin is looked at before it is deployed.
    pub fn scratch(&self) -> Self {
        self.beside(SCRATCH)
    }

    /// The schema of another plugin in the same database.
    pub fn of(&self, plugin: &str, schema: String) -> Self {
        Self::of_schema(self.database.clone(), plugin, schema)
    }

    fn beside(&self, end: &str) -> Self {
        let schema = if self.schema.len() + end.len() <= 63 {
            format!("{}{end}", self.schema)
        } else {
            let hash = &hex::encode(Sha256::digest(&self.schema))[..8];
            format!("{}_{hash}{end}", &self.schema[..40])
        };
        self.of(&self.plugin, schema)
    }

    fn of_schema(database: String, plugin: &str, schema: String) -> Self {
        // A schema that would make the roles' names too long goes in as a hash, too.
        let part = if schema.len() <= 48 {
            schema.clone()
        } else {
            hex::encode(Sha256::digest(&schema))[..40].to_owned()
        };
        Self {
            plugin: plugin.to_owned(),
            schema,
            owner: format!("ef_{database}_{part}_o"),
            exec: format!("ef_{database}_{part}_x"),
            reader: format!("ef_{database}_{part}_r"),
            database,
        }
    }
}

fn hash(database: &str) -> String {
    hex::encode(Sha256::digest(database))[..8].to_owned()
}

/// Quotes a name for SQL.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs one statement of the host's own making.
pub(super) async fn run(conn: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Takes the lock under which the sandbox changes the catalogue, until the transaction ends. One
/// lock for the whole database: GRANTs on one schema from two transactions fail each other.
pub(super) async fn lock(conn: &mut PgConnection) -> Result<(), SqlError> {
    let taken = lock_within(conn, Duration::from_secs(10)).await;
    taken.map_err(|error| {
        let mut error = SqlError::from(error);
        if error.sqlstate == "55P03" {
            error.message =
                "another deploy, or a statement that a plugin uses for the first time, \
                             keeps this one waiting for more than 10 s"
                    .to_owned();
            error.hint = Some(
                "try again; if it lasts, look in pg_stat_activity for a migration that waits for a \
                 lock"
                    .to_owned(),
            );
        }
        error
    })
}

/// The same, with how long to wait for it, and for any other lock from then on.
pub(super) async fn lock_within(conn: &mut PgConnection, patience: Duration) -> sqlx::Result<()> {
    let patience = patience.as_millis().max(1);
    run(
        conn,
        format!(
            "SET LOCAL lock_timeout = {patience}; SET LOCAL statement_timeout = '60s';
             SET LOCAL check_function_bodies = on;
             SELECT pg_catalog.pg_advisory_xact_lock(7306374208861037)"
        ),
    )
    .await
}

/// What the host's own role may do, which decides what it must grant itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    /// Needs no grants.
    pub superuser: bool,
    /// May make roles.
    pub creates_roles: bool,
    /// `server_version_num`.
    pub version: i32,
}

/// Asks the server.
pub(super) async fn host(conn: &mut PgConnection) -> sqlx::Result<Host> {
    let (superuser, creates_roles, version): (bool, bool, i32) = sqlx::query_as(
        "SELECT rolsuper, rolsuper OR rolcreaterole,
                pg_catalog.current_setting('server_version_num')::int4
         FROM pg_catalog.pg_roles WHERE rolname = current_user",
    )
    .fetch_one(conn)
    .await?;
    Ok(Host { superuser, creates_roles, version })
}

/// Makes sure that roles and schema are there and belong together. Under [`lock`].
pub(super) async fn ensure(conn: &mut PgConnection, names: &Names) -> Result<Host, SandboxError> {
    let context = "making the roles and the schema of a plugin";
    let host = host(conn).await.map_err(while_doing(context))?;
    ensure_roles(conn, host, names).await?;
    let known: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM eventfabric.plugin_schemas WHERE schema_name = $1)",
    )
    .bind(&names.schema)
    .fetch_one(&mut *conn)
    .await
    .map_err(while_doing(context))?;
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)",
    )
    .bind(&names.schema)
    .fetch_one(&mut *conn)
    .await
    .map_err(while_doing(context))?;
    if exists && !known {
        return Err(SandboxError::ForeignSchema(names.schema.clone()));
    }
    if !exists {
        let (schema, owner) = (ident(&names.schema), ident(&names.owner));
        let make = format!(
            "CREATE SCHEMA {schema} AUTHORIZATION {owner};
             GRANT USAGE ON SCHEMA {schema} TO CURRENT_USER"
        );
        run(conn, make).await.map_err(while_doing(context))?;
    }
    if !known {
        sqlx::query(
            "INSERT INTO eventfabric.plugin_schemas
                 (schema_name, plugin_name, owner_role, exec_role) VALUES ($1, $2, $3, $4)",
        )
        .bind(&names.schema)
        .bind(&names.plugin)
        .bind(&names.owner)
        .bind(&names.exec)
        .execute(&mut *conn)
        .await
        .map_err(while_doing(context))?;
    }
    Ok(host)
}

/// Whether the schema has its reader. One that an older host made has none.
pub(super) async fn has_reader(conn: &mut PgConnection, names: &Names) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM pg_catalog.pg_roles
             WHERE rolname = $1 AND pg_catalog.has_schema_privilege(oid, $2, 'USAGE'))",
    )
    .bind(&names.reader)
    .bind(&names.schema)
    .fetch_one(conn)
    .await
}

/// Makes sure that the roles are there and the host a member of each. Under [`lock`].
pub(super) async fn ensure_roles(
    conn: &mut PgConnection,
    host: Host,
    names: &Names,
) -> Result<(), SandboxError> {
    for role in [&names.owner, &names.exec, &names.reader] {
        ensure_role(conn, host, role).await.map_err(|error| {
            // In a session that does not see its memberships the next one may find that nothing is to do.
            if crate::db::is_denied(&error) && !host.creates_roles {
                return SandboxError::Roles {
                    plugin: names.plugin.clone(),
                    role: role.clone(),
                    source: error,
                };
            }
            while_doing("making a role of a plugin")(error)
        })?;
    }
    Ok(())
}

async fn ensure_role(conn: &mut PgConnection, host: Host, role: &str) -> sqlx::Result<()> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)")
            .bind(role)
            .fetch_one(&mut *conn)
            .await?;
    let name = ident(role);
    if !exists {
        run(conn, format!("CREATE ROLE {name} NOLOGIN NOINHERIT")).await?;
    }
    if host.superuser {
        return Ok(());
    }
    // The host acts for the role: gives it objects, drops them, grants on them.
    let member: bool = sqlx::query_scalar(if host.version >= 160_000 {
        "SELECT pg_catalog.pg_has_role($1, 'USAGE') AND pg_catalog.pg_has_role($1, 'SET')"
    } else {
        "SELECT pg_catalog.pg_has_role($1, 'USAGE')"
    })
    .bind(role)
    .fetch_one(&mut *conn)
    .await?;
    if !member {
        let options = if host.version >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
        run(conn, format!("GRANT {name} TO CURRENT_USER{options}")).await?;
    }
    Ok(())
}

/// Gives a function of this schema, which is the host's, to a role of the plugin, and its use to the
/// host alone. The host is a member of the role and may use it anyway; but a session that looks up its
/// memberships while another one changes some can keep an old list for a while, and would be denied what
/// it may do. (What is granted before the owner changes becomes the new owner's.)
pub(super) async fn hand_over(
    conn: &mut PgConnection,
    host: Host,
    schema: &str,
    signature: &str,
    role: &str,
) -> sqlx::Result<()> {
    let role = ident(role);
    // A new owner must be able to create in the schema, unless a superuser decides; for the
    // length of one statement it is.
    let (before, after) = if host.superuser {
        (String::new(), String::new())
    } else {
        (
            format!("GRANT CREATE ON SCHEMA {schema} TO {role};"),
            format!("REVOKE CREATE ON SCHEMA {schema} FROM {role};"),
        )
    };
    run(
        conn,
        format!(
            "REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
             {before} ALTER FUNCTION {signature} OWNER TO {role}; {after}
             GRANT EXECUTE ON FUNCTION {signature} TO CURRENT_USER"
        ),
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_reserved_ones_are_refused() {
        let long = "p".repeat(48);
        let names = Names::new("db", "", &long).unwrap();
        assert!(names.owner.len() <= 63 && names.exec.len() <= 63);
        let prefixed = Names::new("db", "shadow_of_", &long).unwrap();
        assert!(prefixed.exec.len() <= 63 && prefixed.exec != names.exec);
        let shadow = prefixed.shadow();
        assert!(shadow.schema.len() <= 63 && shadow.owner.len() <= 63);
        assert!(shadow.schema != prefixed.schema && shadow.exec != prefixed.exec);
        let short = Names::new("db", "", "board").unwrap();
        assert_eq!(
            (short.shadow().schema.as_str(), short.old().schema.as_str()),
            ("board__rebuild", "board__old")
        );
        for name in [
            "board__rebuild",
            "board__old",
            "",
            "A",
            "1a",
            "a-b",
            "pg_x",
            "public",
            "eventfabric",
            &"p".repeat(49),
        ] {
            assert!(Names::new("db", "", name).is_err(), "{name}");
        }
    }
}
