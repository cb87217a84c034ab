//! Transactions that are prepared for a two-phase commit hold their locks without a process.

use sqlx::{Connection as _, PgConnection};

use super::{Log, Writer};

/// A superuser's session: prepared transactions may be ended by who made them, or by one.
async fn superuser(log: &Log) -> Writer {
    Writer(PgConnection::connect_with(&log.db.superuser()).await.unwrap())
}

/// The names of prepared transactions are the server's: this one is the database's own.
async fn end(log: &Log, how: &str) {
    let sql = format!("{how} PREPARED 'tx {}'", log.db.name);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut superuser(log).await.0).await.unwrap();
}

async fn prepare(log: &Log, writer: &mut Writer) {
    let sql = format!("PREPARE TRANSACTION 'tx {}'", log.db.name);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut writer.0).await.unwrap();
}

#[tokio::test]
async fn a_prepared_transaction_keeps_the_head_until_it_is_committed_or_rolled_back() {
    for how in ["COMMIT", "ROLLBACK"] {
        let mut log = Log::of(6).await;
        let (mut other, mut writer) = (log.writer().await, superuser(&log).await);
        writer.run("BEGIN").await;
        assert_eq!(writer.insert().await, 7);
        prepare(&log, &mut writer).await;
        drop(writer);
        other.insert().await;
        log.stays_at(6).await;
        end(&log, how).await;
        assert_eq!(log.reaches(8).await, 8, "{how}");
    }
}

#[tokio::test]
async fn a_transaction_that_is_prepared_while_the_head_waits_for_it_is_waited_for_still() {
    for how in ["COMMIT", "ROLLBACK"] {
        let mut log = Log::of(6).await;
        let (mut other, mut writer) = (log.writer().await, superuser(&log).await);
        writer.run("BEGIN").await;
        assert_eq!(writer.insert().await, 7);
        other.insert().await;
        log.stays_at(6).await;
        prepare(&log, &mut writer).await;
        other.insert().await;
        log.stays_at(6).await;
        end(&log, how).await;
        assert_eq!(log.reaches(9).await, 9, "{how}");
    }
}
