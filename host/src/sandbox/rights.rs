//! What the roles of a plugin may do, and what they should: the second wall, kept exact.

use sqlx::PgConnection;

use super::error::{SandboxError, while_doing};
use super::grant::Granted;
use super::roles::{self, Names};

/// A right that a role of a plugin lacks, or has too much.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Difference {
    /// It is lacking.
    pub missing: bool,
    /// The host may give it.
    pub possible: bool,
    /// What mends it.
    pub statement: String,
    /// What an administrator does so that the host may.
    pub plea: String,
}

/// In what the rights of a plugin's roles differ from those that they should have.
pub(super) async fn differences(
    conn: &mut PgConnection,
    names: &Names,
    granted: &Granted,
) -> sqlx::Result<Vec<Difference>> {
    let ids = |of: &std::collections::BTreeMap<u32, String>| -> Vec<i64> {
        of.keys().copied().map(i64::from).collect()
    };
    sqlx::query_as(include_str!("sql/rights.sql"))
        .bind(&names.schema)
        .bind(&names.owner)
        .bind(&names.exec)
        .bind(&names.reader)
        .bind(ids(&granted.relations))
        .bind(ids(&granted.functions))
        .fetch_all(conn)
        .await
}

const CONTEXT: &str = "giving the roles of a plugin their rights";

/// Gives the roles of a plugin, as far as there are any, exactly the rights that they should have. Under
/// [`roles::lock`]. Answers the statements for rights that somebody else has given, and that only he
/// takes away.
pub(super) async fn mend(
    conn: &mut PgConnection,
    names: &Names,
    granted: &Granted,
) -> Result<Vec<String>, SandboxError> {
    let found = differences(conn, names, granted).await.map_err(while_doing(CONTEXT))?;
    make(conn, names, &found).await?;
    if found.iter().all(|difference| difference.missing) {
        return Ok(Vec::new());
    }
    let left = differences(conn, names, granted).await.map_err(while_doing(CONTEXT))?;
    Ok(left.into_iter().map(|difference| difference.statement).collect())
}

/// The same without taking anything away: who reads tables that were replaced a moment ago may come to
/// the end.
pub(super) async fn give(
    conn: &mut PgConnection,
    names: &Names,
    granted: &Granted,
) -> Result<(), SandboxError> {
    let mut found = differences(conn, names, granted).await.map_err(while_doing(CONTEXT))?;
    found.retain(|difference| difference.missing);
    make(conn, names, &found).await
}

async fn make(
    conn: &mut PgConnection,
    names: &Names,
    found: &[Difference],
) -> Result<(), SandboxError> {
    let mut pleas: Vec<String> = found
        .iter()
        .filter(|difference| !difference.possible)
        .map(|difference| difference.plea.clone())
        .collect();
    if !pleas.is_empty() {
        pleas.sort_unstable();
        pleas.dedup();
        return Err(SandboxError::Rights { plugin: names.plugin.clone(), statements: pleas });
    }
    for difference in found {
        let done = roles::run(conn, difference.statement.clone()).await;
        done.map_err(while_doing(CONTEXT))?;
    }
    Ok(())
}
