//! A bank: accounts with their rules, a search table that is written in the same transaction, a
//! plugin that makes notifications, and snapshots every 50 events.
//!
//! ```sh
//! cargo run --example bank
//! ```
//!
//! runs it on a private PostgreSQL in `.eventfabric/bank`, with `-- --embedded=DIR` on one in that folder,
//! and with `DATABASE_URL` on that database. `cargo xtask test` runs it twice and compares what it says.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eventfabric::event::{Event, ExpectedVersion, NewEvent};
use eventfabric::runner::{Host, HostConfig, deploy};
use eventfabric::session::{
    Aggregate, Backoff, DomainEvent, Raised, Retry, SessionError, SessionFactory, SnapshotPolicy,
    Upcasters, decode,
};
use eventfabric::store::{EventStore, SnapshotFilter, migrate, snapshots};
use eventfabric::{db, embedded};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

/// What can happen to an account. The names are for ever; the variants may be renamed.
#[derive(Debug, Clone, DomainEvent)]
enum AccountEvent {
    #[event(type = "Account.Opened")]
    Opened { owner: String },
    /// Version 1 held whole euros.
    #[event(type = "Account.Deposited", version = 2)]
    Deposited { cents: i64 },
    #[event(type = "Account.Withdrawn")]
    Withdrawn { cents: i64 },
}

/// An account: what its events have made of it, and those that are not saved yet.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
    #[serde(skip)]
    raised: Raised<AccountEvent>,
}

#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error("an amount is more than nothing")]
    NoAmount,
    #[error("{owner} has {has} cents only")]
    Poor { owner: String, has: i64 },
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Account {
    fn open(&mut self, owner: &str) {
        self.raise(AccountEvent::Opened { owner: owner.to_owned() });
    }

    fn deposit(&mut self, cents: i64) -> Result<(), BankError> {
        if cents <= 0 {
            return Err(BankError::NoAmount);
        }
        self.raise(AccountEvent::Deposited { cents });
        Ok(())
    }

    fn withdraw(&mut self, cents: i64) -> Result<(), BankError> {
        if cents <= 0 {
            return Err(BankError::NoAmount);
        }
        if self.cents < cents {
            return Err(BankError::Poor { owner: self.owner.clone(), has: self.cents });
        }
        self.raise(AccountEvent::Withdrawn { cents });
        Ok(())
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const NAME: &'static str = "Account";

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner.clone_from(owner),
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }

    fn raised(&mut self) -> Option<&mut Raised<AccountEvent>> {
        Some(&mut self.raised)
    }
}

fn upcasters() -> Upcasters {
    Upcasters::new().step("Account.Deposited", 1, |mut payload| {
        let euros = payload.remove("euros").and_then(|euros| euros.as_i64()).ok_or("no euros")?;
        payload.insert("cents".to_owned(), json!(euros.checked_mul(100).ok_or("too many euros")?));
        Ok(payload)
    })
}

/// The bank's sessions: what is known of accounts, and the table that is searched by owner.
fn bank(store: EventStore) -> anyhow::Result<SessionFactory> {
    let factory = SessionFactory::builder(store)
        .aggregate::<Account>(|account| {
            account.topic("accounts").snapshots(SnapshotPolicy::every(50), 1)
        })
        .upcasters(upcasters())
        .inline("search", |conn, events| {
            async move {
                for event in events {
                    index(conn, event).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .retry(Retry {
            attempts: 100,
            backoff: Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(100) },
        });
    Ok(factory.build()?)
}

/// Keeps the search table as the events say, in their own transaction: who saves an account finds it.
async fn index(conn: &mut PgConnection, event: &Event) -> anyhow::Result<()> {
    let (owner, change) = match decode(event.clone(), &upcasters())? {
        AccountEvent::Opened { owner } => (Some(owner), 0),
        AccountEvent::Deposited { cents } => (None, cents),
        AccountEvent::Withdrawn { cents } => (None, -cents),
    };
    sqlx::query(
        "INSERT INTO public.bank_search AS s (account, owner, cents) VALUES ($1, $2, $3)
         ON CONFLICT (account) DO UPDATE
         SET owner = coalesce(excluded.owner, s.owner), cents = s.cents + excluded.cents",
    )
    .bind(&event.stream.id)
    .bind(owner)
    .bind(change)
    .execute(conn)
    .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let component = build_notifications()?;
    let (options, server) = match private_server()? {
        None => (std::env::var("DATABASE_URL")?.parse().context("DATABASE_URL")?, None),
        Some(dir) => {
            println!("a private PostgreSQL in {} …", dir.display());
            let server = embedded::start(&dir).await?;
            (server.options(), Some(server))
        }
    };
    let pool = db::pool(options.clone(), 2);
    migrate::migrate(&pool).await?;
    pool.execute(
        "CREATE TABLE IF NOT EXISTS public.bank_search
         (account text PRIMARY KEY, owner text, cents bigint NOT NULL)",
    )
    .await?;

    let host = Host::open(options, HostConfig::default(), None).await?;
    let deployed = deploy(host.registry(), component.into(), "the bank example", 100).await?;
    println!("plugin {} is active, version {:.12}", deployed.name, deployed.version);
    let stop = CancellationToken::new();
    let (running, done) = tokio::join!(host.run(None, stop.clone()), async {
        let done = business(&host, &pool).await;
        stop.cancel();
        done
    });
    done.and(running)?;

    db::close(&pool).await;
    db::close(host.store().pool()).await;
    if let Some(server) = server {
        server.stop().await?;
    }
    Ok(())
}

/// The folder of the private PostgreSQL; none where a database is given.
fn private_server() -> anyhow::Result<Option<PathBuf>> {
    let default = || PathBuf::from(".eventfabric/bank");
    match std::env::args().nth(1).as_deref() {
        None => Ok(std::env::var_os("DATABASE_URL").is_none().then(default)),
        Some("--embedded") => Ok(Some(default())),
        Some(argument) => {
            let dir = argument.strip_prefix("--embedded=").filter(|dir| !dir.is_empty());
            Ok(Some(dir.context("usage: bank [--embedded[=DIR]]")?.into()))
        }
    }
}

/// A day at the bank.
async fn business(host: &Host, pool: &PgPool) -> anyhow::Result<()> {
    let bank = bank(host.store().clone())?.with_metadata("teller", "example");
    // A run has accounts of its own.
    let run = uuid::Uuid::now_v7().simple().to_string();
    let (ada, grace) = (format!("ada-{run}"), format!("grace-{run}"));

    println!("\n-- two accounts, opened in one unit of work");
    let mut session = bank.clone().correlated(format!("opening-{run}")).session();
    let account = session.start_stream::<Account>(&ada)?;
    session[account].open("Ada");
    session[account].deposit(100_00)?;
    let other = session.start_stream::<Account>(&grace)?;
    session[other].open("Grace");
    let saved = session.save().await?;
    for stream in &saved.streams {
        println!("{} is at version {}", stream.stream, stream.version);
    }

    println!("\n-- a transfer: both accounts in one transaction, or none");
    let transfer = bank.with_retry(async |session| {
        let from = session.load::<Account>(&ada).await?;
        let to = session.load::<Account>(&grace).await?;
        session[from].withdraw(30_00)?;
        session[to].deposit(30_00)?;
        Ok::<_, BankError>((session[from].cents, session[to].cents))
    });
    let ((left, right), _) = transfer.await?;
    println!("Ada has {left} cents, Grace {right}");

    println!("\n-- more than there is");
    let accounts = bank.repository::<Account>();
    let refused = accounts.modify(&ada, |account| account.withdraw(1_000_000)).await;
    println!("refused: {}", refused.err().context("it must be refused")?);

    println!("\n-- an event of last year, when deposits were whole euros");
    let mut session = bank.session();
    let old = NewEvent::new("Account.Deposited", &json!({ "euros": 5 }))?;
    session.append("Account", &grace, ExpectedVersion::StreamExists, [old])?;
    session.save().await?;
    println!("Grace has {} cents", accounts.load(&grace).await?.0.cents);

    println!("\n-- four tellers, 15 deposits each, one account");
    let tellers = (0..4).map(|_| async {
        for _ in 0..15 {
            accounts.modify(&ada, |account| account.deposit(1_00)).await?;
        }
        Ok::<_, BankError>(())
    });
    futures::future::try_join_all(tellers).await?;
    let (account, version) = accounts.load(&ada).await?;
    println!("Ada has {} cents, the stream is at version {version}", account.cents);
    let filter = SnapshotFilter { id: Some(ada.clone()), ..SnapshotFilter::default() };
    for snapshot in snapshots(pool, &filter, None, 1).await? {
        println!("her snapshot is of version {}", snapshot.version);
    }

    println!("\n-- the search table, written with the events");
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT owner, cents FROM public.bank_search WHERE account = ANY ($1) ORDER BY owner",
    )
    .bind([&ada, &grace].map(String::as_str))
    .fetch_all(pool)
    .await?;
    for (owner, cents) in rows {
        println!("{owner}: {cents} cents");
    }

    println!("\n-- the plugin's notifications, which come a little later");
    let count = format!("SELECT count(*) FROM notifications WHERE account LIKE '%{run}'");
    let start = Instant::now();
    // 63 of Ada, 3 of Grace.
    while read(host, &count).await? != ["66"] {
        anyhow::ensure!(start.elapsed() < Duration::from_secs(60), "the plugin does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text =
        format!("SELECT message FROM notifications WHERE account = '{grace}' ORDER BY position");
    for message in read(host, &text).await? {
        println!("to Grace: {message}");
    }
    Ok(())
}

/// The first column of a query of the plugin's tables.
async fn read(host: &Host, sql: &str) -> anyhow::Result<Vec<String>> {
    let rows = host.registry().sandbox().read("notifications", sql).await?;
    Ok(rows.rows.into_iter().filter_map(|mut row| row.swap_remove(0)).collect())
}

/// Builds the plugin of `plugins/notifications`, as `cargo xtask plugins` does for all of them.
fn build_notifications() -> anyhow::Result<Vec<u8>> {
    println!("building the plugin …");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "plugin", "--target", "wasm32-wasip2"])
        .args(["--package", "notifications"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cargo")?;
    anyhow::ensure!(built.success(), "is the target there? rustup target add wasm32-wasip2");
    // This program is target/PROFILE/examples/bank.
    let exe = std::env::current_exe()?;
    let target = exe.ancestors().nth(3).context("the folder `target`")?;
    let file: PathBuf = target.join("wasm32-wasip2/plugin/notifications.wasm");
    std::fs::read(&file).with_context(|| file.display().to_string())
}
