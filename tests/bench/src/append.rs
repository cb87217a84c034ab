//! (a) Appends a second: the store as a host has it, the same rows by plain statements, and single
//! rows into a bare table, each with its own commit: the most that the server can do for one caller.

use std::time::{Duration, Instant};

use eventfabric::event::{ExpectedVersion, NewEvent, StreamId};
use eventfabric::store::EventStore;
use serde_json::value::RawValue;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Bench;
use crate::place::Database;
use crate::table::{Row, compare, in_turns};

/// Connections of a host, by default.
const CONNECTIONS: u32 = 20;

/// A flight, as in the log of the other lines.
pub const PAYLOAD: &str = r#"{"carrier":"UA","flight":1545,"origin":"EWR","dest":"IAH","scheduled":"2013-01-01T10:15:00Z","dep_delay":2,"distance":1400,"type":"FlightDeparted","version":1}"#;

#[derive(Clone, Copy)]
enum Way {
    Append,
    Plain,
    Rows,
}

pub async fn measure(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let db = bench.place.database("append").await?;
    db.execute(
        "CREATE TABLE bare (id bigserial PRIMARY KEY, payload jsonb NOT NULL);
         GRANT ALL ON bare TO public; GRANT ALL ON SEQUENCE bare_id_seq TO public",
    )
    .await?;
    let pool = eventfabric::db::pool(db.owner.clone(), CONNECTIONS);
    let store = EventStore::new(pool.clone()).with_group_commit();
    let mut table = Vec::new();
    for callers in [1, 8] {
        for events in [1, 10] {
            let ways = [
                ("append", Way::Append),
                ("plain statements", Way::Plain),
                ("single-row commits", Way::Rows),
            ];
            let case = format!("{} of {}", many(callers, "caller"), many(events, "event"));
            let measure = async |way| {
                let caller = async |way| match way {
                    Way::Append => Ok(Caller::append(store.clone(), events)),
                    Way::Plain => Caller::plain(&db, events).await,
                    Way::Rows => Caller::rows(&db).await,
                };
                let mut all = Vec::new();
                for _ in 0..callers {
                    all.push(caller(way).await?);
                }
                rate(all, bench.time()).await
            };
            let mut rows = in_turns(bench.rounds(), &ways, &case, "commits/s", measure).await?;
            compare(&mut rows, "append", "plain statements", None);
            let goal = (events == 1).then_some(if callers == 1 { 0.8 } else { 0.6 });
            compare(&mut rows, "append", "single-row commits", goal);
            table.append(&mut rows);
            // The outbox has no readers here.
            db.execute("TRUNCATE eventfabric.outbox; CHECKPOINT").await?;
        }
    }
    pool.close().await;
    db.remove().await?;
    Ok(table)
}

fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Somebody who writes, each time with a commit, to a stream of their own.
pub enum Caller {
    /// By the store.
    Append { store: EventStore, stream: StreamId, version: i32, events: usize },
    /// The same rows in a transaction of statements, one a row, as a program without the store would.
    Plain { conn: PgConnection, stream: String, version: i32, events: usize },
    /// A row into a bare table.
    Rows { conn: PgConnection },
}

impl Caller {
    /// One that appends so many events each time.
    pub fn append(store: EventStore, events: usize) -> Self {
        let stream = StreamId::new("Aircraft", Uuid::now_v7().to_string());
        Self::Append { store, stream, version: 0, events }
    }

    async fn plain(db: &Database, events: usize) -> anyhow::Result<Self> {
        let conn = PgConnection::connect_with(&db.owner).await?;
        Ok(Self::Plain { conn, stream: Uuid::now_v7().to_string(), version: 0, events })
    }

    async fn rows(db: &Database) -> anyhow::Result<Self> {
        Ok(Self::Rows { conn: PgConnection::connect_with(&db.owner).await? })
    }

    async fn once(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Append { store, stream, version, events } => {
                let new = (0..*events).map(|_| departure()).collect::<Result<Vec<_>, _>>()?;
                store.append(stream.clone(), ExpectedVersion::Exact(*version), new).await?;
                *version += *events as i32;
            }
            Self::Plain { conn, stream, version, events } => {
                statements(conn, stream, *version, *events as i32).await?;
                *version += *events as i32;
            }
            Self::Rows { conn } => {
                sqlx::query("INSERT INTO public.bare (payload) VALUES ($1::jsonb)")
                    .bind(PAYLOAD)
                    .execute(conn)
                    .await?;
            }
        }
        Ok(())
    }
}

/// A new event.
pub fn departure() -> anyhow::Result<NewEvent> {
    let payload: &RawValue = serde_json::from_str(PAYLOAD)?;
    Ok(NewEvent::new("FlightDeparted", &payload)?)
}

async fn statements(
    conn: &mut PgConnection,
    stream: &str,
    version: i32,
    events: i32,
) -> anyhow::Result<()> {
    let mut tx = conn.begin().await?;
    let guard = sqlx::query(
        "INSERT INTO eventfabric.stream_versions AS v
                (tenant_id, aggregate_name, aggregate_id, current_version)
         VALUES ('default', 'Aircraft', $1, $3)
         ON CONFLICT (tenant_id, aggregate_name, aggregate_id) DO UPDATE
         SET current_version = v.current_version + $3, updated_at = now()
         WHERE v.current_version = $2",
    );
    let guard = guard.bind(stream).bind(version).bind(events).execute(&mut *tx).await?;
    anyhow::ensure!(guard.rows_affected() == 1, "the stream has another version");
    for nth in 1..=events {
        let position: i64 = sqlx::query_scalar(
            "INSERT INTO eventfabric.events (event_id, tenant_id, aggregate_name, aggregate_id,
                                             aggregate_version, type, version, payload)
             VALUES ($1, 'default', 'Aircraft', $2, $3, 'FlightDeparted', 1, $4::jsonb)
             RETURNING global_position",
        )
        .bind(Uuid::now_v7())
        .bind(stream)
        .bind(version + nth)
        .bind(PAYLOAD)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO eventfabric.outbox (global_position, tenant_id) VALUES ($1, 'default')",
        )
        .bind(position)
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// How often a second they are done, all of them together.
pub async fn rate(callers: Vec<Caller>, time: Duration) -> anyhow::Result<f64> {
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        tasks.spawn(async move {
            // The first time prepares the statements.
            caller.once().await?;
            let (start, mut done) = (Instant::now(), 0_u32);
            while start.elapsed() < time {
                caller.once().await?;
                done += 1;
            }
            anyhow::Ok(f64::from(done) / start.elapsed().as_secs_f64())
        });
    }
    let mut all = 0.0;
    while let Some(rate) = tasks.join_next().await {
        all += rate??;
    }
    Ok(all)
}
