//! Whether the roles of all plugins, and everybody, may do exactly what they should; and the script with
//! which an administrator makes the roles where the host may make none.

use std::fmt::Write as _;

use sqlx::{Connection as _, PgConnection, PgPool};

use super::error::{SandboxError, while_doing};
use super::grant::{self, Granted};
use super::roles::{self, Names, ident};
use super::{Sandbox, rights};

/// A role that may do more or less than it should, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inexact {
    /// The role; none where it is everybody.
    pub role: Option<String>,
    /// What it is.
    pub what: String,
    /// The statement that mends it.
    pub statement: String,
    /// PostgreSQL has it so by itself.
    pub usual: bool,
}

const CONTEXT: &str = "looking at the roles of plugins";

/// Looks at the roles of all plugins, and at what everybody may do.
///
/// # Errors
/// The database's.
pub async fn inexact(pool: &PgPool) -> sqlx::Result<Vec<Inexact>> {
    let mut conn = pool.acquire().await?;
    let public: Vec<(String, bool, String)> =
        sqlx::query_as(include_str!("sql/public.sql")).fetch_all(&mut *conn).await?;
    let mut found: Vec<Inexact> = public
        .into_iter()
        .map(|(what, usual, statement)| Inexact { role: None, what, statement, usual })
        .collect();
    let mine = |role: String, what: String, statement: String| Inexact {
        role: Some(role),
        what,
        statement,
        usual: false,
    };
    for (names, granted) in plugins(&mut conn).await? {
        let roles: Vec<(String, String, String)> = sqlx::query_as(include_str!("sql/roles.sql"))
            .bind(&names.owner)
            .bind(&names.exec)
            .bind(&names.reader)
            .fetch_all(&mut *conn)
            .await?;
        found.extend(roles.into_iter().map(|(role, what, statement)| mine(role, what, statement)));
        for difference in rights::differences(&mut conn, &names, &granted).await? {
            let what = if difference.missing { "a right is missing" } else { "a right too much" };
            let place = format!("roles of {}", names.schema);
            let statement =
                if difference.possible { difference.statement } else { difference.plea };
            found.push(mine(place, what.to_owned(), statement));
        }
    }
    Ok(found)
}

/// All schemas of plugins with what their roles are granted.
async fn plugins(conn: &mut PgConnection) -> sqlx::Result<Vec<(Names, Granted)>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT pg_catalog.current_database()::text, plugin_name, schema_name
         FROM eventfabric.plugin_schemas ORDER BY 2, 3",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut all = Vec::new();
    for (database, plugin, schema) in rows {
        let names = Names::known(&database, &plugin, schema);
        let granted = match names.is_old() {
            true => Granted::default(),
            false => grant::granted(conn, &plugin).await?,
        };
        all.push((names, granted));
    }
    Ok(all)
}

impl Sandbox {
    /// Gives the roles of all plugins exactly the rights that they should have, as far as the host may.
    ///
    /// # Errors
    /// The database's. What the host may not mend is logged.
    pub async fn mend(&self) -> Result<(), SandboxError> {
        let mut conn = self.control.acquire().await.map_err(while_doing(CONTEXT))?;
        for (names, granted) in plugins(&mut conn).await.map_err(while_doing(CONTEXT))? {
            let differ = rights::differences(&mut conn, &names, &granted).await;
            if differ.map_err(while_doing(CONTEXT))?.is_empty() {
                continue;
            }
            let mut tx = conn.begin().await.map_err(while_doing(CONTEXT))?;
            roles::lock(&mut tx).await?;
            match rights::mend(&mut tx, &names, &granted).await {
                Ok(left) => {
                    tx.commit().await.map_err(while_doing(CONTEXT))?;
                    tracing::info!(
                        schema = names.schema,
                        ?left,
                        "the rights of a plugin's roles were not as they should be; all but what is \
                         left is mended"
                    );
                }
                Err(error) => {
                    tx.rollback().await.map_err(while_doing(CONTEXT))?;
                    tracing::warn!(schema = names.schema, %error,
                        "the rights of a plugin's roles are not as they should be");
                }
            }
        }
        Ok(())
    }

    /// The script with which an administrator makes the roles of plugins, for a host that may make none.
    /// It can be run again, and does no harm where the roles are there.
    ///
    /// # Errors
    /// A name that can't be a plugin's, or the database's.
    pub async fn roles_script(&self, plugins: &[String]) -> Result<String, SandboxError> {
        let (database, host, version): (String, String, i32) = sqlx::query_as(
            "SELECT pg_catalog.current_database()::text, current_user::text,
                    pg_catalog.current_setting('server_version_num')::int4",
        )
        .fetch_one(&self.control)
        .await
        .map_err(while_doing(CONTEXT))?;
        let (quoted, options) =
            (ident(&host), if version >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" });
        let mut script = format!(
            "-- Roles of plugins in the database {database}, for the host's role {host}, which may make \
             none.\n-- To be run by a role that may create roles; it can be run again.\n\
             GRANT CONNECT, CREATE ON DATABASE {} TO {quoted};\n",
            ident(&database)
        );
        for plugin in plugins {
            let live = self.names(plugin).await?;
            let _ = writeln!(
                script,
                "\n-- {plugin}: its tables, those of a rebuild, those kept, those of a check"
            );
            for names in [&live, &live.shadow(), &live.old(), &live.scratch()] {
                for role in [&names.owner, &names.exec, &names.reader] {
                    // Names of roles are letters, digits and _.
                    let _ = writeln!(
                        script,
                        "DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOINHERIT; \
                         EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n\
                         GRANT {role} TO {quoted}{options};"
                    );
                }
            }
        }
        Ok(script)
    }
}
