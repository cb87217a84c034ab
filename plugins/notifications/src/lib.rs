//! What the owners of the bank's accounts are to be told: the plugin of `host/examples/bank.rs`.
//!
//! Nobody waits for a message, so this projection is asynchronous: a message that can't be made is
//! tried again by itself, and becomes a dead letter in the end. What sends them reads the table.

use eventfabric_sdk::prelude::*;

/// What happens to an account, as far as its owner is told.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum AccountEvent {
    /// It was opened.
    #[serde(rename = "Account.Opened")]
    Opened {
        /// Whose it is.
        owner: String,
    },
    /// Money came in.
    #[serde(rename = "Account.Deposited")]
    Deposited {
        /// How much.
        cents: i64,
    },
    /// Money went out.
    #[serde(rename = "Account.Withdrawn")]
    Withdrawn {
        /// How much.
        cents: i64,
    },
}

impl AccountEvent {
    fn message(&self) -> String {
        match self {
            Self::Opened { owner } => format!("Welcome, {owner}"),
            Self::Deposited { cents } => format!("{} came in", Euros(*cents)),
            Self::Withdrawn { cents } => format!("{} went out", Euros(*cents)),
        }
    }
}

/// Cents as people write them.
struct Euros(i64);

impl std::fmt::Display for Euros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02} EUR", self.0 / 100, self.0 % 100)
    }
}

/// The projection.
pub struct Notifications;

impl Projection for Notifications {
    type Event = AccountEvent;

    fn describe() -> Description {
        Description::new("notifications")
            .text("What the owners of accounts are to be told")
            .mode(Mode::Async)
            .only_topics(["accounts"])
            .events(["Account.Opened", "Account.Deposited", "Account.Withdrawn"])
            .migrations(migrations!["migrations/001_create_notifications.sql"])
    }

    fn upcasters() -> Upcasters {
        // Version 1 held whole euros.
        Upcasters::new().step("Account.Deposited", 1, |payload| {
            let euros = payload.remove("euros").and_then(|euros| euros.as_i64());
            let cents = euros.and_then(|euros| euros.checked_mul(100));
            let cents = cents.ok_or_else(|| Error::poison("`euros` is no amount of money"))?;
            payload.insert("cents".to_owned(), cents.into());
            Ok(())
        })
    }

    fn handle(tx: &Tx, event: &Event<AccountEvent>) -> Result<()> {
        tx.run(
            "INSERT INTO notifications (position, account, message, at) VALUES ($1, $2, $3, $4)",
            params![event.position, event.aggregate_id, event.data.message(), event.occurred_at()],
        )
    }
}

export_projection!(Notifications);

#[cfg(test)]
mod tests {
    use eventfabric_sdk::testing::{self, RecordingTx, event};

    use super::*;

    #[test]
    fn deposits_of_both_versions_read_the_same() {
        let db = RecordingTx::new();
        let mut new = event("Account.Deposited", r#"{"cents": 705, "version": 2}"#);
        new.schema_version = 2;
        let old = event("Account.Deposited", r#"{"euros": 7}"#);
        testing::run::<Notifications>(&db, [old, new]).unwrap();
        let calls = db.calls_of("INSERT INTO notifications");
        let messages: Vec<_> = calls.iter().map(|call| call[2].clone()).collect();
        assert_eq!(messages, params!["7.00 EUR came in", "7.05 EUR came in"]);
        assert_eq!(db.round_trips(), 1);
    }

    #[test]
    fn an_amount_that_is_none_is_poison_and_named() {
        let db = RecordingTx::new();
        let batch = [
            event("Account.Opened", r#"{"owner": "Ada"}"#),
            event("Account.Deposited", r#"{"euros": "many"}"#),
        ];
        let failure = testing::run::<Notifications>(&db, batch).unwrap_err();
        assert_eq!((failure.kind, failure.index), (FailureKind::Poison, Some(1)));
        assert!(failure.message.contains("no amount of money"), "{}", failure.message);
    }
}
