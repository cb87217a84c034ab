//! Inline closures: in the transaction of the save.

use eventfabric::event::Event;
use eventfabric::session::SessionFactory;
use futures::FutureExt as _;
use sqlx::{Executor as _, PgConnection};

use super::{Account, Bank, BankEvent};
use crate::store::{rows, store};

async fn note(conn: &mut PgConnection, who: &str, events: &[Event]) -> sqlx::Result<()> {
    let what: Vec<String> =
        events.iter().map(|event| format!("{}@{}", event.event_type, event.version)).collect();
    let sql = "INSERT INTO public.seen (who, what) VALUES ($1, $2)";
    sqlx::query(sql).bind(who).bind(what.join(" ")).execute(conn).await?;
    Ok(())
}

#[tokio::test]
async fn closures_run_in_their_order_in_the_saves_own_transaction() {
    let (db, store) = store().await;
    let mut conn = db.connect().await;
    conn.execute("CREATE TABLE public.seen (n bigserial, who text, what text)").await.unwrap();
    let factory = SessionFactory::builder(store)
        .aggregate::<Account>(|account| account)
        .aggregate::<Bank>(|bank| bank)
        .inline("first", |conn, events| {
            async move {
                note(conn, "first", events).await?;
                Ok(())
            }
            .boxed()
        })
        .inline("second", |conn, events| {
            async move {
                note(conn, "second", events).await?;
                if events.iter().any(|event| event.event_type == "Account.Closed") {
                    return Err("accounts stay open".into());
                }
                Ok(())
            }
            .boxed()
        })
        .build()
        .unwrap();
    let mut session = factory.session();
    let account = session.start_stream::<Account>("1").unwrap();
    let bank = session.start_stream::<Bank>("1").unwrap();
    session[account].open("Ada");
    session.raise(bank, BankEvent::AccountAdded);
    session.save().await.unwrap();
    let seen = || async {
        let sql = "SELECT who, what FROM public.seen ORDER BY n";
        let mut conn = db.connect().await;
        sqlx::query_as::<_, (String, String)>(sql).fetch_all(&mut conn).await.unwrap()
    };
    let both = "Account.Opened@1 AccountAdded@1".to_owned();
    let expected = [("first".to_owned(), both.clone()), ("second".to_owned(), both)];
    assert_eq!(seen().await, expected);

    // A refusal undoes all of it, and the session keeps what it wanted.
    session[account].close();
    let before = rows(&db).await;
    let error = session.save().await.unwrap_err().to_string();
    assert!(error.contains("second") && error.contains("accounts stay open"), "{error}");
    assert_eq!(seen().await, expected);
    assert_eq!(rows(&db).await, before);
    assert_eq!(session.pending()[0].events, ["Account.Closed"]);
}
