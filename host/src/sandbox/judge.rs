//! The verdict on a parse tree: looks up what it names, and holds it against the lists.

use sqlx::{PgConnection, Row as _};

use super::grant::Granted;
use super::policy;
use super::tree::{self, Facts};

/// Where a tree stands; some things are allowed in one place only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A statement that the plugin runs.
    Statement,
    /// A view, an index, a check, a generated column.
    Catalogue,
    /// The default of a column: `nextval` of the plugin's own sequences may stand there.
    Default,
}

/// Why a tree was refused, or could not be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Verdict {
    /// It names what it must not; the text says what, and what to do.
    #[error("{0}")]
    Denied(String),
    /// The look-up failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Reads a tree and judges it. `schema` is the plugin's; `granted` is what it may use beyond.
pub(super) async fn judge(
    conn: &mut PgConnection,
    schema: &str,
    place: Place,
    granted: &Granted,
    text: &str,
) -> Result<Facts, Verdict> {
    let facts = tree::read(text).map_err(|e| Verdict::Denied(e.to_string()))?;
    for node in &facts.nodes {
        if let Some(reason) = policy::node_denied(node) {
            return Err(Verdict::Denied(reason));
        }
    }
    if let Some(reason) = policy::grouping_denied(&facts.grouping) {
        return Err(Verdict::Denied(reason.to_owned()));
    }
    for number in &facts.system_columns {
        if let Some(name) = policy::system_column_denied(*number) {
            return Err(Verdict::Denied(format!(
                "the system column {name} is not allowed: it differs from run to run"
            )));
        }
    }
    if place == Place::Default && facts.types.contains(&policy::REGCLASS) {
        // A sequence that is named in place leaves a record of the dependency, which is looked at;
        // one that is computed does not.
        let plain = facts.nodes.iter().all(|node| matches!(node.as_str(), "FUNCEXPR" | "CONST"));
        if !(plain && facts.functions.contains(&policy::NEXTVAL)) {
            let reason = "regclass stands in a default for nextval('sequence') only";
            return Err(Verdict::Denied(reason.to_owned()));
        }
    }
    relations(conn, schema, place, granted, &facts).await?;
    functions(conn, place, granted, &facts).await?;
    types(conn, schema, place, &facts).await?;
    Ok(facts)
}

fn list(oids: &std::collections::BTreeSet<u32>) -> Vec<i64> {
    oids.iter().map(|oid| i64::from(*oid)).collect()
}

async fn relations(
    conn: &mut PgConnection,
    schema: &str,
    place: Place,
    granted: &Granted,
    facts: &Facts,
) -> Result<(), Verdict> {
    if facts.relations.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, u.id
         FROM pg_catalog.unnest($1::bigint[]) AS u (id)
         LEFT JOIN pg_catalog.pg_class c ON c.oid = u.id::oid
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
    )
    .bind(list(&facts.relations))
    .fetch_all(&mut *conn)
    .await?;
    for row in rows {
        let (found, name): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let kind: Option<String> = row.try_get(2)?;
        let (Some(found), Some(name)) = (found, name) else {
            return Err(Verdict::Denied("a relation that does not exist any more".to_owned()));
        };
        if found != schema {
            let id: i64 = row.try_get(3)?;
            let id = u32::try_from(id).unwrap_or_default();
            if !granted.relations.contains_key(&id) {
                return Err(Verdict::Denied(format!(
                    "relation {found}.{name} is not the plugin's: a statement may use the tables of its \
                     own schema, named without a schema, and what `eventfabric plugin grants` lets it \
                     read"
                )));
            }
            if place != Place::Statement {
                return Err(Verdict::Denied(format!(
                    "relation {found}.{name} is not the plugin's: statements may read what is granted, \
                     and nothing that a migration makes may refer to it"
                )));
            }
            if !facts.only_reads(id) {
                return Err(Verdict::Denied(format!(
                    "relation {found}.{name} is granted to be read: no statement may change it, nor \
                     lock its rows"
                )));
            }
            continue;
        }
        if !matches!(kind.as_deref(), Some("r" | "p" | "v")) {
            return Err(Verdict::Denied(format!("{name} is no table and no view")));
        }
    }
    Ok(())
}

async fn functions(
    conn: &mut PgConnection,
    place: Place,
    granted: &Granted,
    facts: &Facts,
) -> Result<(), Verdict> {
    let rows = sqlx::query(
        "SELECT p.oid::bigint, n.nspname::text, p.proname::text, p.provolatile::text, NULL::text
         FROM pg_catalog.unnest($1::bigint[]) AS u (id)
         LEFT JOIN pg_catalog.pg_proc p ON p.oid = u.id::oid
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         UNION ALL
         SELECT CASE WHEN o.oid::bigint < p.oid::bigint THEN p.oid ELSE o.oid END::bigint,
                n.nspname::text, p.proname::text, p.provolatile::text, o.oprname::text
         FROM pg_catalog.unnest($2::bigint[]) AS u (id)
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = u.id::oid
         LEFT JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace",
    )
    .bind(list(&facts.functions))
    .bind(list(&facts.operators))
    .fetch_all(&mut *conn)
    .await?;
    for row in rows {
        let oid: Option<i64> = row.try_get(0)?;
        let Some(oid) = oid.and_then(|oid| u32::try_from(oid).ok()) else {
            return Err(Verdict::Denied("a function that does not exist any more".to_owned()));
        };
        let (namespace, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let volatility: String = row.try_get(3)?;
        let operator: Option<String> = row.try_get(4)?;
        // An operator is none of what is granted, whatever function it has.
        let is_granted = operator.is_none() && granted.functions.contains_key(&oid);
        let what = match operator {
            Some(sign) => format!("operator {sign} ({name})"),
            None => format!("function {name}"),
        };
        if namespace != "pg_catalog" || oid >= policy::FIRST_FOREIGN_OID {
            if is_granted && place == Place::Statement {
                continue;
            }
            return Err(Verdict::Denied(format!(
                "{what} of schema {namespace} is not allowed: only PostgreSQL's own functions are, and \
                 in statements those that `eventfabric plugin grants` lets it call"
            )));
        }
        if place == Place::Default && oid == policy::NEXTVAL {
            continue;
        }
        if let Some(reason) = policy::function_denied(&name, &volatility) {
            return Err(Verdict::Denied(format!("{what} is not allowed: {reason}")));
        }
    }
    Ok(())
}

async fn types(
    conn: &mut PgConnection,
    schema: &str,
    place: Place,
    facts: &Facts,
) -> Result<(), Verdict> {
    let rows = sqlx::query(
        "SELECT coalesce(e.oid, t.oid)::bigint, n.nspname::text, t.typname::text,
                coalesce(e.typtype, t.typtype)::text
         FROM pg_catalog.unnest($1::bigint[]) AS u (id)
         LEFT JOIN pg_catalog.pg_type t ON t.oid = u.id::oid
         LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace",
    )
    .bind(list(&facts.types))
    .fetch_all(&mut *conn)
    .await?;
    for row in rows {
        let oid: Option<i64> = row.try_get(0)?;
        let Some(oid) = oid.and_then(|oid| u32::try_from(oid).ok()) else {
            return Err(Verdict::Denied("a type that does not exist any more".to_owned()));
        };
        let (namespace, name): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        if oid == policy::REGCLASS && place == Place::Default {
            continue;
        }
        if policy::CATALOGUE_TYPES.contains(&oid) {
            return Err(Verdict::Denied(format!(
                "type {name} is not allowed: it looks into the catalogue"
            )));
        }
        let kind: String = row.try_get(3)?;
        // Rows of the catalogue's tables have columns of the types above.
        if namespace != schema && matches!(kind.as_str(), "c" | "d") {
            return Err(Verdict::Denied(format!(
                "type {namespace}.{name} is not allowed: rows and domains are the plugin's own or none"
            )));
        }
        if namespace != schema && (namespace != "pg_catalog" || oid >= policy::FIRST_FOREIGN_OID) {
            return Err(Verdict::Denied(format!(
                "type {namespace}.{name} is not allowed: only PostgreSQL's own types and the plugin's are"
            )));
        }
    }
    Ok(())
}
