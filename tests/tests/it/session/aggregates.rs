//! Aggregates in both styles, and the repository.

use eventfabric::session::{Aggregate, DomainEvent, SessionError};

use super::{Account, AccountEvent, Bank, BankEvent, Refused, bank, opened};

#[derive(Default)]
pub struct Unregistered;

impl Aggregate for Unregistered {
    type Event = BankEvent;
    const NAME: &'static str = "Unregistered";

    fn apply(&mut self, _: &BankEvent) {}
}

#[test]
fn an_event_keeps_its_name_version_and_data() {
    #[derive(Debug, PartialEq, DomainEvent)]
    enum Mixed {
        Nothing,
        #[event(type = "Held", version = 3)]
        Struct(Held),
        #[event(version = 2)]
        Fields {
            #[serde(rename = "some kind")]
            kind: Option<String>,
            #[serde(default)]
            big: u64,
        },
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Held {
        text: String,
    }
    let held = Mixed::Struct(Held { text: "\u{1f600}".to_owned() });
    assert_eq!((held.event_type().name, held.event_type().version), ("Held", 3));
    assert_eq!(
        Mixed::TYPES.iter().map(|t| t.name).collect::<Vec<_>>(),
        ["Nothing", "Held", "Fields"]
    );
    for event in [held, Mixed::Nothing] {
        let payload = event.payload().unwrap();
        assert_eq!(Mixed::from_payload(event.event_type().name, &payload).unwrap(), event);
    }
    let payload = serde_json::value::RawValue::from_string(
        r#"{"type":"Fields","version":2,"big":18446744073709551615,"unknown":[]}"#.to_owned(),
    )
    .unwrap();
    let Mixed::Fields { big, kind: None } = Mixed::from_payload("Fields", &payload).unwrap() else {
        panic!()
    };
    assert_eq!(big, u64::MAX);
    assert!(Mixed::from_payload("Other", &payload).is_err());
}

#[tokio::test]
async fn decide_and_evolve_work_without_events_inside_the_aggregate() {
    let (_db, factory) = bank().await;
    let banks = factory.repository::<Bank>();
    let saved = banks
        .decide("ef", |bank| {
            assert_eq!(*bank, Bank::default(), "the stream begins here");
            Ok::<_, SessionError>([BankEvent::AccountAdded, BankEvent::AccountAdded])
        })
        .await
        .unwrap();
    assert_eq!(saved.streams[0].version, 2);
    let mut session = factory.session();
    let bank = session.load::<Bank>("ef").await.unwrap();
    let refused = session.decide(bank, |bank| match bank.accounts {
        2 => Err("full"),
        _ => Ok([BankEvent::AccountAdded]),
    });
    assert_eq!(refused, Err("full"));
    assert_eq!(session.pending(), []);
    session.raise(bank, BankEvent::AccountAdded);
    assert_eq!(session[bank], Bank::evolve(&[const { BankEvent::AccountAdded }; 3]));
}

#[tokio::test]
async fn a_repository_loads_changes_and_saves_in_one_call() {
    let (_db, factory) = bank().await;
    let accounts = factory.repository::<Account>();
    assert!(accounts.find("1").await.unwrap().is_none());
    let unknown = accounts.modify("1", |account| account.withdraw(1)).await.unwrap_err();
    assert!(matches!(unknown, Refused::Session(SessionError::UnknownStream { .. })), "{unknown}");
    let create = |account: &mut Account| {
        account.open("Ada");
        account.deposit(100);
        Ok::<_, SessionError>(())
    };
    let ((), saved) = accounts.create("1", create).await.unwrap();
    assert_eq!(saved.streams[0].version, 2);
    assert!(accounts.create("1", create).await.unwrap_err().is_conflict());
    let (left, saved) = accounts
        .modify("1", |account| {
            account.withdraw(30)?;
            Ok::<_, Refused>(account.cents)
        })
        .await
        .unwrap();
    assert_eq!((left, saved.streams[0].version), (70, 3));
    let refused = accounts.modify("1", |account| account.withdraw(71)).await.unwrap_err();
    assert!(matches!(refused, Refused::Poor { has: 70 }));
    let (account, version) = accounts.load("1").await.unwrap();
    assert_eq!((account.owner.as_str(), account.cents, version), ("Ada", 70, 3));
}

#[tokio::test]
async fn what_an_aggregate_raises_itself_and_what_the_session_raises_keep_their_order() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 0).await;
    let mut session = factory.session();
    let account = session.load::<Account>("1").await.unwrap();
    session[account].deposit(1);
    session.raise(account, AccountEvent::Withdrawn { cents: 1 });
    session[account].close();
    let types = ["Account.Deposited", "Account.Withdrawn", "Account.Closed"];
    assert_eq!(session.pending()[0].events, types);
    session.save().await.unwrap();
    assert!(session[account].closed);
}
