//! That the reading of parse trees is complete: each node type of each PostgreSQL is classified, each
//! field with object ids is read or known to be harmless, and what is let through was seen in a tree
//! that a server made.
//!
//! `nodes/*.txt` are made from the headers of the server, a file a major version.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::{policy, tree};

const LISTS: &[(i32, &str)] = &[
    (15, include_str!("nodes/15.txt")),
    (16, include_str!("nodes/16.txt")),
    (17, include_str!("nodes/17.txt")),
    (18, include_str!("nodes/18.txt")),
];

/// Node types that may stand in no statement, and why.
const REFUSED: &[(&str, &str)] = &[
    ("AlternativeSubPlan", "the planner makes it"),
    ("CoerceToDomain", "a domain's check may call anything"),
    ("CoerceToDomainValue", "it stands in the check of a domain"),
    ("CurrentOfExpr", "there are no cursors"),
    ("IntoClause", "it stands in CREATE TABLE AS"),
    ("JsonBehavior", "part of JsonExpr"),
    ("JsonExpr", "JSON_VALUE and its like are not looked into yet"),
    ("JsonTablePath", "part of JSON_TABLE"),
    ("JsonTablePathScan", "part of JSON_TABLE"),
    ("JsonTablePlan", "part of JSON_TABLE"),
    ("JsonTableSiblingJoin", "part of JSON_TABLE"),
    ("NextValueExpr", "sequences are for the defaults of columns"),
    ("RangeVar", "its name is not bound yet"),
    ("ReturningExpr", "the rewriter makes it"),
    ("SQLValueFunction", "it tells the time or the role"),
    ("SubPlan", "the planner makes it"),
    ("TableFunc", "XMLTABLE and JSON_TABLE are not looked into yet"),
    ("TableSampleClause", "it gives other rows each time"),
    ("WindowFuncRunCondition", "the planner makes it"),
    ("WithCheckOption", "the rewriter makes it"),
    ("XmlExpr", "XML is not looked into yet"),
];

/// Fields with object ids that nobody reads, and why.
const UNREAD: &[(&str, &str)] = &[
    ("aggtranstype", "the planner fills it in, from what :aggfnoid says"),
    ("checkAsUser", "a role; set by the rewriter"),
    ("constraint", "one of the table that is written, which :relid names"),
    ("constraintDeps", "constraints of tables that :relid names"),
    ("inferopclass", "that of an index of the table, which :relid names"),
    ("opfamilies", "those of the operators, which :opnos names"),
    ("resorigtbl", "where a column comes from; the table itself is in :relid"),
];

/// The node types of a version as they stand in its trees, with their fields of object ids; then those
/// that cannot stand there.
fn list(text: &'static str) -> (Vec<Vec<&'static str>>, Vec<&'static str>) {
    let (bound, others) = text.split_once("\n\n").unwrap();
    let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with('#'));
    (lines(bound).map(|line| line.split(' ').collect()).collect(), lines(others).collect())
}

/// How a server writes the name of a node.
fn written(name: &str) -> String {
    name.to_ascii_uppercase()
}

#[test]
fn each_node_of_each_version_is_let_through_or_refused_for_a_reason() {
    for (version, text) in LISTS {
        let (bound, others) = list(text);
        assert!(bound.len() > 60 && others.len() > 150, "the list of {version} is short");
        for node in bound {
            let refused = REFUSED.iter().any(|(name, _)| *name == node[0]);
            let denied = policy::node_denied(&written(node[0])).is_some();
            assert_eq!(denied, refused, "{} of {version}", node[0]);
        }
        for name in others {
            assert!(
                policy::node_denied(&name.to_ascii_uppercase()).is_some(),
                "{name} of {version}"
            );
        }
    }
}

#[test]
fn each_field_with_object_ids_is_read_or_left_for_a_reason() {
    for (version, text) in LISTS {
        for node in list(text).0 {
            if REFUSED.iter().any(|(name, _)| *name == node[0]) {
                continue;
            }
            for field in &node[1..] {
                // A collation runs no code.
                let lower = field.to_ascii_lowercase();
                let collation = lower.contains("coll");
                let unread = UNREAD.iter().any(|(name, _)| name == field);
                assert!(
                    tree::is_read(field) != (collation || unread),
                    "{}.{field} of {version}",
                    node[0]
                );
            }
        }
    }
}

#[test]
fn a_node_that_nobody_knows_is_refused() {
    let facts = tree::read("({QUERY :commandType 1 :x {TELEPORTEXPR :funcid 1}})").unwrap();
    let denied: Vec<_> = facts.nodes.iter().filter_map(|name| policy::node_denied(name)).collect();
    assert_eq!(denied, ["the sandbox does not know expressions of the kind TELEPORTEXPR"]);
}

/// A statement, the node types that it is here for, and functions (by name) that must be read from its
/// tree.
struct Sample {
    since: i32,
    sql: &'static str,
    nodes: &'static [&'static str],
    functions: &'static [&'static str],
}

const fn sample(
    sql: &'static str,
    nodes: &'static [&'static str],
    functions: &'static [&'static str],
) -> Sample {
    Sample { since: 15, sql, nodes, functions }
}

const fn since(since: i32, sample: Sample) -> Sample {
    Sample { since, ..sample }
}

const SAMPLES: &[Sample] = &[
    sample(
        "SELECT id FROM t",
        &["Query", "RangeTblEntry", "Alias", "RangeTblRef", "FromExpr", "TargetEntry", "Var"],
        &[],
    ),
    sample(
        "SELECT sum(id) FILTER (WHERE id > 1), lower('A') FROM t",
        &["Aggref", "Const", "OpExpr", "FuncExpr"],
        &["sum", "int84gt", "lower"],
    ),
    sample("SELECT id FROM t WHERE id = $1", &["Param"], &["int8eq"]),
    sample(
        "SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY id RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)",
        &["WindowFunc", "WindowClause", "SortGroupClause"],
        &["rank", "in_range"],
    ),
    sample(
        "SELECT GROUPING(id), a FROM t GROUP BY ROLLUP (id, a)",
        &["GroupingFunc", "GroupingSet"],
        &[],
    ),
    sample("SELECT a[1] FROM t", &["SubscriptingRef"], &[]),
    sample("SELECT make_interval(days => 1)", &["NamedArgExpr"], &["make_interval"]),
    sample("SELECT id FROM t WHERE id IS DISTINCT FROM 1", &["DistinctExpr"], &["int84eq"]),
    sample("SELECT nullif(id, 1) FROM t", &["NullIfExpr"], &["int84eq"]),
    sample(
        "SELECT id FROM t WHERE id = ANY (ARRAY[1, id])",
        &["ScalarArrayOpExpr", "ArrayExpr"],
        &["int8eq"],
    ),
    sample("SELECT NOT b AND id > 1 FROM t", &["BoolExpr"], &["int84gt"]),
    sample("SELECT id FROM t WHERE EXISTS (SELECT 1)", &["SubLink"], &[]),
    sample("SELECT (p).x FROM t", &["FieldSelect"], &[]),
    sample("UPDATE t SET p.x = 1", &["FieldStore"], &[]),
    sample("SELECT (txt::varchar)::text FROM t", &["RelabelType"], &[]),
    sample("SELECT id::text FROM t", &["CoerceViaIO"], &[]),
    sample("SELECT a::bigint[] FROM t", &["ArrayCoerceExpr", "CaseTestExpr"], &["int8"]),
    sample("SELECT child::parent FROM child", &["ConvertRowtypeExpr"], &[]),
    sample("SELECT txt COLLATE \"C\" FROM t", &["CollateExpr"], &[]),
    sample(
        "SELECT CASE id WHEN 1 THEN 2 ELSE 3 END FROM t",
        &["CaseExpr", "CaseWhen"],
        &["int84eq"],
    ),
    sample("SELECT ROW(id, 1) FROM t", &["RowExpr"], &[]),
    sample(
        "SELECT id FROM t WHERE (id, txt) < (1, 'a')",
        &["RowCompareExpr"],
        &["int84lt", "text_lt"],
    ),
    sample("SELECT coalesce(id, 1), greatest(id, 1) FROM t", &["CoalesceExpr", "MinMaxExpr"], &[]),
    sample("SELECT id FROM t WHERE id IS NULL AND b IS TRUE", &["NullTest", "BooleanTest"], &[]),
    sample("UPDATE t SET txt = DEFAULT", &[], &[]),
    sample(
        "INSERT INTO t (id, txt) VALUES (1, DEFAULT), (2, 'a') ON CONFLICT (id) DO UPDATE SET txt = excluded.txt",
        &["OnConflictExpr", "InferenceElem", "SetToDefault"],
        &[],
    ),
    sample(
        "MERGE INTO t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE",
        &["MergeAction"],
        &["int84eq"],
    ),
    sample("SELECT 1 FROM t AS x JOIN t AS y USING (id)", &["JoinExpr"], &["int8eq"]),
    sample("SELECT g FROM generate_series(1, 2) g", &["RangeTblFunction"], &["generate_series"]),
    sample("SELECT id FROM t FOR UPDATE", &["RowMarkClause"], &[]),
    sample("SELECT 1 UNION SELECT 2", &["SetOperationStmt"], &[]),
    sample(
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p SELECT n FROM r",
        &["CommonTableExpr", "CTESearchClause", "CTECycleClause"],
        &["int4pl", "int4lt"],
    ),
    since(
        16,
        sample(
            "SELECT JSON_OBJECT('a' VALUE txt FORMAT JSON), id::text IS JSON FROM t",
            &[
                "JsonConstructorExpr",
                "JsonReturning",
                "JsonFormat",
                "JsonIsPredicate",
                "RTEPermissionInfo",
                "JsonValueExpr",
            ],
            &[],
        ),
    ),
    since(
        17,
        sample(
            "MERGE INTO t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE RETURNING merge_action()",
            &["MergeSupportFunc"],
            &[],
        ),
    ),
    since(
        18,
        sample("UPDATE t SET id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.id, n.id", &[], &[]),
    ),
];

#[tokio::test]
async fn each_node_that_is_let_through_was_seen_in_a_tree_and_read() {
    let administrator: sqlx::postgres::PgConnectOptions =
        match std::env::var(eventfabric_testdb::SERVER) {
            Ok(url) => url.parse().unwrap(),
            Err(_) => eventfabric_testdb::server().await.unwrap().administrator(),
        };
    let mut conn = crate::db::connect(&administrator).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let version: i32 =
        sqlx::query_scalar("SELECT current_setting('server_version_num')::int / 10000")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    tx.execute(sqlx::raw_sql(include_str!("sql/samples.sql"))).await.unwrap();
    let mut seen = BTreeSet::new();
    for Sample { sql, nodes, functions, .. } in SAMPLES.iter().filter(|s| s.since <= version) {
        let parameters = if sql.contains("$1") { "bigint" } else { "" };
        let create = format!(
            "CREATE OR REPLACE FUNCTION pg_temp.f({parameters}) RETURNS void LANGUAGE sql BEGIN ATOMIC \
             {sql}; END"
        );
        tx.execute(sqlx::raw_sql(AssertSqlSafe(create)))
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text: String = sqlx::query_scalar(
            "SELECT prosqlbody::text FROM pg_proc WHERE proname = 'f' ORDER BY oid DESC LIMIT 1",
        )
        .persistent(false)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        let facts = tree::read(&text).unwrap();
        for node in *nodes {
            assert!(facts.nodes.contains(&written(node)), "{node} in {sql}: {:?}", facts.nodes);
        }
        seen.extend(facts.nodes.clone());
        let oids: Vec<i64> = facts.functions.iter().map(|oid| i64::from(*oid)).collect();
        let operators: Vec<i64> = facts.operators.iter().map(|oid| i64::from(*oid)).collect();
        let named: Vec<String> = sqlx::query_scalar(
            "SELECT proname::text FROM pg_proc WHERE oid::bigint = ANY ($1)
             UNION SELECT p.proname::text FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
             WHERE o.oid::bigint = ANY ($2)",
        )
        .bind(oids)
        .bind(operators)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        for function in *functions {
            assert!(named.iter().any(|name| name == function), "{function} in {sql}: {named:?}");
        }
        assert_eq!(facts.relations.is_empty(), !text.contains(":rtekind 0"), "{sql}");
        tx.execute("DROP FUNCTION pg_temp.f").await.unwrap();
    }
    let newest = LISTS.iter().rfind(|(listed, _)| *listed <= version).unwrap();
    let unseen: Vec<&str> = list(newest.1)
        .0
        .into_iter()
        .map(|node| node[0])
        .filter(|name| policy::node_denied(&written(name)).is_none())
        .filter(|name| !seen.contains(&written(name)))
        .collect();
    assert!(unseen.is_empty(), "let through and never seen: {unseen:?}");
    tx.rollback().await.unwrap();
}
