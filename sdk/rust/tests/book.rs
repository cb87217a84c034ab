//! What the book and the README show of the SDK, with what they leave out: it compiles. (A test of the repository
//! compares the texts.)

#![expect(dead_code, reason = "what the book shows")]

/// README.md, "A projection in ten lines".
mod owners {
    use eventfabric_sdk::prelude::*;

    #[derive(Deserialize)]
    struct Opened {
        owner: String,
    }

    struct Owners;

    impl Projection for Owners {
        type Event = Opened;

        fn describe() -> Description {
            Description::new("owners").mode(Mode::CatchUp).events(["AccountOpened"]).migration(
                1,
                "create owners",
                "CREATE TABLE owners (account text PRIMARY KEY, name text NOT NULL)",
            )
        }

        fn handle(tx: &Tx, event: &Event<Opened>) -> Result<()> {
            tx.run(
                "INSERT INTO owners VALUES ($1, $2)",
                params![event.aggregate_id, event.data.owner],
            )
        }
    }

    export_projection!(Owners);
}

/// docs/queries.md.
mod board {
    use eventfabric_sdk::prelude::*;

    struct Board;

    impl Projection for Board {
        type Event = ();

        fn describe() -> Description {
            Description::new("board")
        }

        fn handle(_: &Tx, _: &Event<()>) -> Result<()> {
            Ok(())
        }
    }

    #[derive(Params)]
    struct Departures {
        /// The airport, such as JFK
        origin: String,
        /// How many
        limit: Option<i64>, // may be left out
    }

    fn departures(tx: &Tx, params: Departures) -> Result<RowSet> {
        let limit = params.limit.unwrap_or(20).clamp(1, 1000);
        let sql = "SELECT scheduled, flight, dest FROM board WHERE origin = $1 ORDER BY scheduled LIMIT $2";
        tx.row_set(sql, params![params.origin, limit])
    }

    impl Queries for Board {
        fn queries() -> Vec<Query> {
            vec![Query::new("departures", departures).text("The flights of an airport")]
        }
    }
    export_projection!(Board, queries);
}

/// docs/reactors.md.
mod orders {
    use eventfabric_sdk::prelude::*;

    #[derive(Deserialize, serde::Serialize)]
    struct Order {}

    fn handle(tx: &Tx, event: &Event<Order>) -> Result<()> {
        let answer = http::Request::post("https://hooks.example.com/orders")
            .json(&event.data)
            .header("authorization", config::get("token").unwrap_or_default())
            .send(event)?
            .error_for_status()?;
        tx.run(
            "INSERT INTO told VALUES ($1, $2)",
            params![event.position, i32::from(answer.status())],
        )
    }
}

/// docs/process-managers.md.
mod transfers {
    use eventfabric_sdk::prelude::*;
    use serde_json::json;

    #[derive(Deserialize)]
    struct Requested {
        from: String,
        to: String,
        amount: i64,
    }

    #[derive(Deserialize)]
    struct Entry {
        amount: i64,
    }

    fn balance(entries: &[Event<Entry>]) -> i64 {
        entries.iter().map(|entry| entry.data.amount).sum()
    }

    fn handle(tx: &Tx, event: &Event<Requested>) -> Result<()> {
        let Requested { from, to, amount } = &event.data;
        let store = tx.event_store();
        let account = store.load::<Entry, _>(event, "Account", from)?;
        if balance(&account.events) < *amount {
            let refused = NewEvent::of("TransferRefused", &json!({}))?;
            store.append(
                event,
                "Transfer",
                &event.aggregate_id,
                ExpectedVersion::Any,
                [refused],
            )?;
            return Ok(());
        }
        // What was decided by the stream holds only while it is as it was.
        let withdrawn = NewEvent::of("MoneyWithdrawn", &json!({"amount": amount}))?;
        store.append(event, "Account", from, account.version, [withdrawn])?;
        let deposited = NewEvent::of("MoneyDeposited", &json!({"amount": amount}))?;
        store.append(event, "Account", to, ExpectedVersion::Any, [deposited])?;
        let completed = NewEvent::of("TransferCompleted", &json!({}))?;
        store.append(event, "Transfer", &event.aggregate_id, ExpectedVersion::Any, [completed])?;
        Ok(())
    }
}
