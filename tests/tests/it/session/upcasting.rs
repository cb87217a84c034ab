//! Events of older schema versions.

use eventfabric::event::{ExpectedVersion, NewEvent};
use eventfabric::session::{
    Aggregate, BuildError, DecodeError, DomainEvent, SessionError, SessionFactory, UpcastError,
    Upcasters,
};
use serde_json::json;

use super::stream;
use crate::store::store;

#[derive(DomainEvent)]
enum AccountEvent {
    #[event(type = "Account.Deposited", version = 3)]
    Deposited { cents: i64, currency: String },
}

#[derive(Debug, Default)]
struct Account {
    cents: i64,
    currencies: Vec<String>,
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const NAME: &'static str = "Account";

    fn apply(&mut self, event: &AccountEvent) {
        let AccountEvent::Deposited { cents, currency } = event;
        self.cents += cents;
        self.currencies.push(currency.clone());
    }
}

fn steps() -> Upcasters {
    Upcasters::new()
        .step("Account.Deposited", 1, |mut payload| {
            let euros = payload.remove("euros").and_then(|n| n.as_i64()).ok_or("no euros")?;
            payload.insert("cents".to_owned(), json!(euros * 100));
            Ok(payload)
        })
        .step("Account.Deposited", 2, |mut payload| {
            payload.insert("currency".to_owned(), json!("EUR"));
            Ok(payload)
        })
}

fn event(version: i32, payload: serde_json::Value) -> NewEvent {
    NewEvent { schema_version: version, ..NewEvent::new("Account.Deposited", &payload).unwrap() }
}

#[tokio::test]
async fn events_of_every_version_are_lifted_step_by_step_when_loaded() {
    let (_db, store) = store().await;
    let builder = SessionFactory::builder(store.clone()).aggregate::<Account>(|account| account);
    let factory = builder.upcasters(steps()).build().unwrap();
    let events = vec![
        event(1, json!({"euros": 1})),
        event(2, json!({"cents": 20})),
        event(3, json!({"cents": 3, "currency": "USD"})),
    ];
    store.append(stream("1"), ExpectedVersion::NoStream, events).await.unwrap();
    let accounts = factory.repository::<Account>();
    let (account, _) = accounts.load("1").await.unwrap();
    assert_eq!((account.cents, account.currencies.join(" ")), (123, "EUR EUR USD".to_owned()));
    // What is written is of the current version, and the log keeps what it has.
    accounts
        .decide("1", |_| {
            let currency = "SEK".to_owned();
            Ok::<_, SessionError>([AccountEvent::Deposited { cents: 1, currency }])
        })
        .await
        .unwrap();
    let versions: Vec<i32> =
        crate::store::all(&store, &stream("1")).await.iter().map(|e| e.schema_version).collect();
    assert_eq!(versions, [1, 2, 3, 3]);

    store.append(stream("2"), ExpectedVersion::Any, vec![event(1, json!({}))]).await.unwrap();
    let error = accounts.load("2").await.unwrap_err().to_string();
    assert!(error.contains("version 1 of Account/2") && error.contains("no euros"), "{error}");
}

#[tokio::test]
async fn an_unknown_newer_version_is_an_error_that_says_so() {
    let (_db, store) = store().await;
    let builder = SessionFactory::builder(store.clone()).aggregate::<Account>(|account| account);
    let factory = builder.upcasters(steps()).build().unwrap();
    let newer = event(4, json!({"cents": 3, "currency": "USD", "iban": "…"}));
    store.append(stream("1"), ExpectedVersion::NoStream, vec![newer]).await.unwrap();
    let error = factory.session().load::<Account>("1").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("schema version 4") && text.contains("use a newer program"), "{text}");
    assert!(matches!(
        error,
        SessionError::Decode {
            source: DecodeError::Upcast(UpcastError::Newer { version: 4, current: 3, .. }),
            ..
        }
    ));
}

#[tokio::test]
async fn steps_that_lead_elsewhere_than_to_the_current_version_are_refused_at_the_start() {
    let (_db, store) = store().await;
    let build = |steps: Upcasters| {
        let builder = SessionFactory::builder(store.clone());
        builder.aggregate::<Account>(|account| account).upcasters(steps).build().err()
    };
    let event_type = "Account.Deposited".to_owned();
    let gap = Upcasters::new().step(&*event_type, 1, Ok);
    assert_eq!(
        build(gap),
        Some(BuildError::Gap { event_type: event_type.clone(), from: 2, current: 3 })
    );
    let beyond = steps().step(&*event_type, 3, Ok);
    assert_eq!(build(beyond), Some(BuildError::Beyond { event_type, from: 3, current: 3 }));
    assert_eq!(build(steps().step("Other", 7, Ok)), None);
}
