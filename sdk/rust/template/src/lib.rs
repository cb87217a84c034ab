//! The balance of each account.

use eventfabric_sdk::prelude::*;

/// What happens to an account. In the payload, `type` says which of these it is.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum AccountEvent {
    /// Somebody has opened it.
    AccountOpened {
        /// Whose it is.
        owner: String,
    },
    /// Money came in.
    MoneyDeposited {
        /// How much.
        cents: i64,
    },
    /// Money went out.
    MoneyWithdrawn {
        /// How much.
        cents: i64,
    },
}

/// The projection.
pub struct Accounts;

impl Projection for Accounts {
    type Event = AccountEvent;

    fn describe() -> Description {
        Description::new("{{name}}")
            .text("The balance of each account")
            .mode(Mode::CatchUp)
            .events(["AccountOpened", "MoneyDeposited", "MoneyWithdrawn"])
            .migrations(migrations!["migrations/001_create_accounts.sql"])
    }

    fn handle(tx: &Tx, event: &Event<AccountEvent>) -> Result<()> {
        match &event.data {
            AccountEvent::AccountOpened { owner } => tx.run(
                "INSERT INTO accounts (account, owner, cents) VALUES ($1, $2, 0)",
                params![event.aggregate_id, owner],
            ),
            AccountEvent::MoneyDeposited { cents } => book(tx, event, *cents),
            AccountEvent::MoneyWithdrawn { cents } => book(tx, event, -cents),
        }
    }
}

export_projection!(Accounts);

fn book(tx: &Tx, event: &Event<AccountEvent>, cents: i64) -> Result<()> {
    let changed = tx.execute(
        "UPDATE accounts SET cents = cents + $2 WHERE account = $1",
        params![event.aggregate_id, cents],
    )?;
    if changed == 0 {
        // It can never be handled: the projection stops at it, or sets it aside, as its operator says.
        return Err(event.poison(format_args!("there is no account {}", event.aggregate_id)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventfabric_sdk::testing::{self, RecordingTx, event};

    // The logic alone, in milliseconds. Whether the SQL is right is what `scenarios` are for.
    #[test]
    fn an_account_begins_with_nothing() {
        let db = RecordingTx::new();
        let opened = event("AccountOpened", r#"{"owner": "Ada"}"#);
        testing::run::<Accounts>(&db, [opened]).unwrap();
        let calls = db.calls_of("INSERT INTO accounts");
        assert_eq!(calls, [params!["1", "Ada"]]);
    }
}
