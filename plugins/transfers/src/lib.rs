//! Money from one account to another: an event that asks for it is answered with the events that do it.
//!
//! `TransferRequested` on a `Transfer` is answered with `MoneyWithdrawn` on the one `Account`, `MoneyDeposited`
//! on the other and `TransferCompleted` on the transfer, all of them or none; or with `TransferRefused`, where
//! the account has too little on it, as its stream says.
//!
//! It needs `eventfabric plugin grants transfers --add append:Account --add append:Transfer`.

use eventfabric_sdk::prelude::*;
use serde::Serialize;

/// What is asked for.
#[derive(Debug, Deserialize)]
pub struct Requested {
    from: String,
    to: String,
    amount: i64,
}

/// What changes the balance of an account.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Entry {
    MoneyDeposited {
        amount: i64,
    },
    MoneyWithdrawn {
        amount: i64,
    },
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Moved<'a> {
    amount: i64,
    transfer: &'a str,
}

#[derive(Serialize)]
struct Ended<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The process manager.
pub struct Transfers;

impl Projection for Transfers {
    type Event = Requested;

    fn describe() -> Description {
        Description::new("transfers")
            .text("Moves money from one account to another")
            .mode(Mode::CatchUp)
            .events(["TransferRequested"])
            .migrations(migrations!["migrations/001_create_transfers.sql"])
    }

    fn handle(tx: &Tx, event: &Event<Requested>) -> Result<()> {
        let (store, id) = (tx.event_store(), &event.aggregate_id);
        let Requested { from, to, amount } = &event.data;
        let account = store.load::<Entry, _>(event, "Account", from)?;
        let balance: i64 = account.events.iter().map(|event| event.data.change()).sum();
        let refused = match () {
            () if *amount <= 0 => Some("there is nothing to move"),
            () if from == to => Some("it leads to the account that it comes from"),
            () if balance < *amount => Some("the account has too little on it"),
            () => None,
        };
        if refused.is_none() {
            let moved = Moved { amount: *amount, transfer: id };
            // What was decided by the stream holds only while it is as it was.
            let withdrawn = NewEvent::of("MoneyWithdrawn", &moved)?;
            store.append(event, "Account", from, account.version, [withdrawn])?;
            let deposited = NewEvent::of("MoneyDeposited", &moved)?;
            store.append(event, "Account", to, ExpectedVersion::Any, [deposited])?;
        }
        let how = if refused.is_some() { "TransferRefused" } else { "TransferCompleted" };
        let ended = NewEvent::of(how, &Ended { reason: refused })?;
        store.append(event, "Transfer", id, ExpectedVersion::Any, [ended])?;
        tx.run(
            "INSERT INTO transfers VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET refused = EXCLUDED.refused",
            params![id, from, to, amount, refused],
        )
    }
}

impl Entry {
    fn change(&self) -> i64 {
        match self {
            Self::MoneyDeposited { amount } => *amount,
            Self::MoneyWithdrawn { amount } => -amount,
            Self::Other => 0,
        }
    }
}

export_projection!(Transfers);

#[cfg(test)]
mod tests {
    use super::*;
    use eventfabric_sdk::RawEvent;
    use eventfabric_sdk::testing::{self, RecordingTx, event};

    fn transfer(from: &str, to: &str, amount: i64) -> RawEvent {
        let payload = format!(r#"{{"from": "{from}", "to": "{to}", "amount": {amount}}}"#);
        RawEvent { aggregate_id: "t1".into(), ..event("TransferRequested", &payload) }
    }

    fn appended(events: impl IntoIterator<Item = RawEvent>) -> Vec<(String, String)> {
        let db = RecordingTx::new();
        db.stream("Account", "a", [event("MoneyDeposited", r#"{"amount": 100}"#)]);
        testing::run::<Transfers>(&db, events).unwrap();
        let of = |event: testing::Appended| (event.event_type, event.id);
        db.appended().into_iter().map(of).collect()
    }

    fn named<'a>(events: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
        events.into_iter().map(|(kind, id)| (kind.to_owned(), id.to_owned())).collect()
    }

    const COMPLETED: [(&str, &str); 3] =
        [("MoneyWithdrawn", "a"), ("MoneyDeposited", "b"), ("TransferCompleted", "t1")];

    #[test]
    fn money_is_taken_from_the_one_and_given_to_the_other() {
        assert_eq!(appended([transfer("a", "b", 100)]), named(COMPLETED));
    }

    #[test]
    fn the_second_transfer_of_a_batch_sees_what_the_first_one_took() {
        let expected = named(COMPLETED.into_iter().chain([("TransferRefused", "t1")]));
        assert_eq!(appended([transfer("a", "b", 60), transfer("a", "b", 60)]), expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [transfer("a", "a", 1), transfer("a", "b", 0), transfer("a", "b", -5)] {
            assert_eq!(appended([wrong]), named([("TransferRefused", "t1")]));
        }
    }
}
