//! What the book shows of the library, with what it leaves out.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventfabric::event::{ExpectedVersion, NewEvent, StreamName, TenantId};
use eventfabric::runner::{Fleet, HostConfig};
use eventfabric::session::{Aggregate, DomainEvent, Raised, SessionError, SessionFactory};
use eventfabric::store::{DismissalFilter, EventStore};
use eventfabric::tenancy::{DatabaseUrl, Directory, TenancyConfig, Tenants};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

async fn dismissal(store: &EventStore) -> anyhow::Result<()> {
    store.dismiss(&[17.into()], "booked twice, ticket 4711", "ada").await?;
    store.undo_dismissal(&[17.into()], "bob").await?;
    let record =
        store.dismissals(&DismissalFilter { history: true, ..Default::default() }, 100).await?;
    Ok(())
}

async fn reading(store: &EventStore, since: DateTime<Utc>) -> anyhow::Result<()> {
    let found = store
        .query()
        .tenant("acme")
        .aggregate("Account") // again: or this one
        .event_type("MoneyDeposited")
        .occurred(since..) // any range of times
        .positions(..=100_000) // any range of positions
        .payload_path("$.cents > $least")
        .path_variables(&json!({"least": 1_000_000}))
        .newest_first()
        .limit(20)
        .load() // or stream(), first(), count()
        .await?;
    Ok(())
}

async fn sharing(pool: PgPool, events: Vec<NewEvent>) -> anyhow::Result<()> {
    let store = EventStore::new(pool);
    let acme = store.tenant(&"acme".parse()?); // a TenantStore
    acme.append(StreamName::new("Account", "42"), ExpectedVersion::NoStream, events).await?;
    Ok(())
}

async fn a_database_each(
    from_settings: BTreeMap<TenantId, DatabaseUrl>,
    pool: PgPool,
) -> anyhow::Result<()> {
    let directory = Directory::fixed(from_settings).with_table(pool);
    let tenants = Tenants::new(directory, TenancyConfig::default())?;
    let acme = tenants.store(&"acme".parse()?).await?; // a TenantStore on the tenant's database
    Ok(())
}

async fn hosts(
    directory: Directory,
    tenancy: TenancyConfig,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let hosts = Tenants::hosts(directory, tenancy, HostConfig::default(), true)?;
    let host = hosts.host(&"acme".parse()?).await?; // appends with the tenant's inline plugins
    let fleet = Arc::new(Fleet::new(hosts.clone(), Some("./plugins".into())));
    let states = fleet.states(); // how each tenant stands, as it changes
    fleet.run(stop).await;
    Ok(())
}

#[derive(DomainEvent)]
enum AccountEvent {
    Deposited { cents: i64 },
}

#[derive(Default, Serialize, Deserialize)]
struct Account {
    #[serde(skip)]
    raised: Raised<AccountEvent>,
}

#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Account {
    fn withdraw(&mut self, cents: i64) -> Result<(), BankError> {
        self.deposit(-cents)
    }

    fn deposit(&mut self, cents: i64) -> Result<(), BankError> {
        self.raise(AccountEvent::Deposited { cents });
        Ok(())
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const NAME: &'static str = "Account";

    fn apply(&mut self, _: &AccountEvent) {}

    fn raised(&mut self) -> Option<&mut Raised<AccountEvent>> {
        Some(&mut self.raised)
    }
}

async fn sessions(factory: &SessionFactory) -> Result<(), BankError> {
    let (_, saved) = factory
        .with_retry(async |session| {
            let from = session.load::<Account>("1").await?;
            let to = session.load::<Account>("2").await?;
            session[from].withdraw(500)?;
            session[to].deposit(500)?;
            Ok::<_, BankError>(())
        })
        .await?;
    Ok(())
}
