//! What the TypeScript library takes for granted about the tables, column by column.

use eventfabric_tests::{TestDb, database};
use sqlx::{PgConnection, Row as _};

/// A column: name, type, whether it is NOT NULL, and its default.
type Column = (&'static str, &'static str, bool, Option<&'static str>);

struct Table {
    name: &'static str,
    columns: &'static [Column],
    /// Primary key first, then UNIQUE constraints.
    keys: &'static [&'static str],
    indexes: &'static [(&'static str, &'static str)],
}

const NN: bool = true;
const NULL: bool = false;
const TENANT: Column = ("tenant_id", "text", NN, Some("'default'::text"));
const NOW: Option<&str> = Some("now()");
const ZERO: Option<&str> = Some("0");

const TABLES: &[Table] = &[
    Table {
        name: "events",
        columns: &[
            (
                "global_position",
                "bigint",
                NN,
                Some("nextval('eventfabric.events_global_position_seq'::regclass)"),
            ),
            ("event_id", "uuid", NN, None),
            ("aggregate_name", "text", NN, None),
            ("aggregate_id", "text", NN, None),
            ("aggregate_version", "integer", NN, None),
            ("type", "text", NN, None),
            ("version", "integer", NN, None),
            ("payload", "jsonb", NN, None),
            ("occurred_at", "timestamp with time zone", NN, NOW),
            ("dismissed_at", "timestamp with time zone", NULL, None),
            ("dismissed_reason", "text", NULL, None),
            ("dismissed_by", "text", NULL, None),
            ("correlation_id", "text", NULL, None),
            ("causation_id", "text", NULL, None),
            TENANT,
        ],
        keys: &[
            "PRIMARY KEY (global_position)",
            "UNIQUE (event_id)",
            "UNIQUE (tenant_id, aggregate_name, aggregate_id, aggregate_version)",
        ],
        indexes: &[
            (
                "events_tenant_aggregate_version_key",
                "(tenant_id, aggregate_name, aggregate_id, aggregate_version)",
            ),
            (
                "events_stream_covering_idx",
                "(tenant_id, aggregate_name, aggregate_id, aggregate_version)",
            ),
            ("events_global_idx", "(global_position)"),
        ],
    },
    Table {
        name: "stream_versions",
        columns: &[
            ("aggregate_name", "text", NN, None),
            ("aggregate_id", "text", NN, None),
            ("current_version", "integer", NN, ZERO),
            ("created_at", "timestamp with time zone", NN, NOW),
            ("updated_at", "timestamp with time zone", NN, NOW),
            TENANT,
        ],
        keys: &["PRIMARY KEY (tenant_id, aggregate_name, aggregate_id)"],
        indexes: &[],
    },
    Table {
        name: "outbox",
        columns: &[
            ("id", "bigint", NN, Some("nextval('eventfabric.outbox_id_seq'::regclass)")),
            ("global_position", "bigint", NN, None),
            ("topic", "text", NULL, None),
            ("created_at", "timestamp with time zone", NN, NOW),
            ("locked_at", "timestamp with time zone", NULL, None),
            ("locked_by", "text", NULL, None),
            ("attempts", "integer", NN, ZERO),
            ("last_error", "text", NULL, None),
            ("dead_lettered_at", "timestamp with time zone", NULL, None),
            ("dead_letter_reason", "text", NULL, None),
            TENANT,
        ],
        keys: &["PRIMARY KEY (id)", "UNIQUE (global_position)"],
        indexes: &[
            (
                "outbox_claimable_idx",
                "(id) WHERE ((dead_lettered_at IS NULL) AND (locked_at IS NULL))",
            ),
            ("outbox_topic_idx", "(topic)"),
            ("outbox_global_idx", "(global_position)"),
        ],
    },
    Table {
        name: "outbox_dead_letters",
        columns: &[
            (
                "id",
                "bigint",
                NN,
                Some("nextval('eventfabric.outbox_dead_letters_id_seq'::regclass)"),
            ),
            ("outbox_id", "bigint", NN, None),
            ("global_position", "bigint", NN, None),
            ("topic", "text", NULL, None),
            ("attempts", "integer", NN, None),
            ("last_error", "text", NULL, None),
            ("dead_lettered_at", "timestamp with time zone", NN, NOW),
            TENANT,
        ],
        keys: &["PRIMARY KEY (id)"],
        indexes: &[("outbox_dlq_global_idx", "(global_position)")],
    },
    Table {
        name: "projection_checkpoints",
        columns: &[
            ("projection_name", "text", NN, None),
            ("last_global_position", "bigint", NN, ZERO),
            ("updated_at", "timestamp with time zone", NN, NOW),
            TENANT,
        ],
        keys: &["PRIMARY KEY (projection_name, tenant_id)"],
        indexes: &[],
    },
    Table {
        name: "snapshots",
        columns: &[
            ("aggregate_name", "text", NN, None),
            ("aggregate_id", "text", NN, None),
            ("aggregate_version", "integer", NN, None),
            ("created_at", "timestamp with time zone", NN, NOW),
            ("snapshot_schema_version", "integer", NN, None),
            ("state", "jsonb", NN, None),
            TENANT,
        ],
        keys: &["PRIMARY KEY (tenant_id, aggregate_name, aggregate_id)"],
        indexes: &[],
    },
    Table {
        name: "schema_migrations",
        columns: &[("name", "text", NN, None), ("applied_at", "timestamp with time zone", NN, NOW)],
        keys: &["PRIMARY KEY (name)"],
        indexes: &[],
    },
];

#[tokio::test]
async fn every_column_that_the_library_knows_is_as_it_expects() {
    let db = database().await;
    let mut conn = catalogue(&db).await;
    for table in TABLES {
        let found = columns(&mut conn, table.name).await;
        for (name, kind, not_null, default) in table.columns {
            let expected =
                ((*name).to_owned(), (*kind).to_owned(), *not_null, default.map(str::to_owned));
            let column = found.iter().find(|column| column.0 == *name);
            assert_eq!(column, Some(&expected), "{}", table.name);
        }
        // The library's INSERTs don't name what is ours.
        for (name, _, not_null, default) in &found {
            let known = table.columns.iter().any(|column| column.0 == name);
            let free = !not_null || default.is_some();
            assert!(known || free, "{}.{name} has no default", table.name);
        }
    }
}

#[tokio::test]
async fn every_key_that_the_library_relies_on_is_there_and_no_other() {
    let db = database().await;
    let mut conn = catalogue(&db).await;
    for table in TABLES {
        let mut found: Vec<String> = sqlx::query_scalar(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = ('eventfabric.' || $1)::regclass AND contype IN ('p', 'u')",
        )
        .bind(table.name)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        found.sort();
        assert_eq!(found, table.keys, "{}", table.name);
    }
}

#[tokio::test]
async fn every_index_that_the_library_names_is_there() {
    let db = database().await;
    let mut conn = catalogue(&db).await;
    for table in TABLES {
        for (name, columns) in table.indexes {
            let found: Option<String> =
                sqlx::query_scalar("SELECT pg_get_indexdef(to_regclass('eventfabric.' || $1))")
                    .bind(name)
                    .fetch_one(&mut conn)
                    .await
                    .unwrap();
            let expected = format!(" ON eventfabric.{} USING btree {columns}", table.name);
            assert!(found.as_ref().is_some_and(|d| d.ends_with(&expected)), "{name}: {found:?}");
        }
    }
}

#[tokio::test]
async fn the_librarys_migrate_finds_every_name_that_it_looks_for() {
    let db = database().await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM eventfabric.schema_migrations ORDER BY name")
            .fetch_all(&mut catalogue(&db).await)
            .await
            .unwrap();
    let expected = [
        "001_init",
        "002_projection_checkpoints",
        "003_outbox_and_dlq",
        "004_snapshots",
        "005_stream_versions",
        "006_performance",
        "008_tenant_id",
        "009_per_tenant_projection_checkpoints",
    ];
    assert_eq!(names[..expected.len()], expected);
    assert!(!names.contains(&"007_partitioning".to_owned()));
}

async fn catalogue(db: &TestDb) -> PgConnection {
    let mut conn = db.connect().await;
    sqlx::query("SET search_path = ''").execute(&mut conn).await.unwrap();
    conn
}

async fn columns(
    conn: &mut PgConnection,
    table: &str,
) -> Vec<(String, String, bool, Option<String>)> {
    let rows = sqlx::query(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                pg_get_expr(d.adbin, d.adrelid)
         FROM pg_attribute a
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = ('eventfabric.' || $1)::regclass AND a.attnum > 0
           AND NOT a.attisdropped
         ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(conn)
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}
