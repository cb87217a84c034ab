//! The SQL of the book is run on a migrated database, a page in a transaction that is rolled back.

use std::path::Path;

use eventfabric_tests::database;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::blocks::{blocks, of_text};
use super::{pages, text};

/// `active_sql_transaction`: what is never part of a transaction was understood, and is not done here.
const NOT_IN_A_TRANSACTION: &str = "25001";

#[tokio::test]
async fn the_statements_of_the_book_are_run() {
    let db = database().await;
    let mut count = 0;
    for page in pages() {
        let statements = statements(&page);
        count += statements.len();
        let mut conn = PgConnection::connect_with(&db.superuser()).await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        // Those of the tutorial are of a plugin's schema.
        tx.execute("CREATE SCHEMA book; SET LOCAL search_path = book").await.unwrap();
        for statement in statements {
            let mut step = tx.begin().await.unwrap();
            if let Err(error) = step.execute(AssertSqlSafe(statement.clone())).await {
                let code = error.as_database_error().and_then(|error| error.code());
                let page = page.display();
                assert_eq!(
                    code.as_deref(),
                    Some(NOT_IN_A_TRANSACTION),
                    "{page}: {statement}: {error}"
                );
                step.rollback().await.unwrap();
            } else {
                step.commit().await.unwrap();
            }
        }
    }
    let shown = blocks().iter().filter(|block| block.kind == "sql").count();
    assert!(shown > 2 && count >= shown, "{count} statements of {shown} blocks");
}

/// The statements of a page, without the transaction around them.
fn statements(page: &Path) -> Vec<String> {
    let blocks = of_text(page, &text(page));
    let blocks = blocks.iter().filter(|block| block.kind == "sql");
    let parts = blocks.flat_map(|block| block.text.split(';')).map(str::trim);
    let statements = parts.filter(|part| !matches!(*part, "" | "BEGIN" | "COMMIT"));
    statements.map(str::to_owned).collect()
}
