//! Many units of work on one stream.

use std::collections::BTreeSet;

use eventfabric::session::SessionError;

use super::{Account, Refused, bank, opened, patient, stream};
use crate::store::versions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_sessions_on_one_stream_exactly_one_wins_each_version() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 0).await;
    let tasks = (0..200).map(|_| {
        let factory = factory.clone();
        tokio::spawn(async move {
            let mut session = factory.session();
            let account = session.load::<Account>("1").await.unwrap();
            session[account].deposit(1);
            match session.save().await {
                Ok(saved) => Some(saved.streams[0].version),
                Err(error) if error.is_conflict() => None,
                Err(error) => panic!("{error}"),
            }
        })
    });
    let won: Vec<i32> =
        futures::future::try_join_all(tasks).await.unwrap().into_iter().flatten().collect();
    let each: BTreeSet<i32> = won.iter().copied().collect();
    assert_eq!(each.len(), won.len(), "nobody won a version twice");
    let expected: Vec<i32> = (2..=won.len() as i32 + 1).collect();
    assert_eq!(each.into_iter().collect::<Vec<_>>(), expected);
    let (account, version) = factory.repository::<Account>().load("1").await.unwrap();
    assert_eq!((account.cents, version), (won.len() as i64, won.len() as i32 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_retry_every_one_of_many_transfers_is_made() {
    const TRANSFERS: i64 = 40;
    let (_db, factory) = bank().await;
    let factory = factory.retrying(patient());
    opened(&factory, "from", 0).await;
    opened(&factory, "to", 0).await;
    let accounts = factory.repository::<Account>();
    let deposit = |account: &mut _| {
        Account::deposit(account, TRANSFERS);
        Ok::<_, Refused>(())
    };
    accounts.modify("from", deposit).await.unwrap();
    let tasks = (0..TRANSFERS).map(|_| {
        let factory = factory.clone();
        tokio::spawn(async move {
            let (left, saved) = factory
                .with_retry(async |session| {
                    let from = session.load::<Account>("from").await?;
                    let to = session.load::<Account>("to").await?;
                    session[from].withdraw(1)?;
                    session[to].deposit(1);
                    Ok::<_, Refused>(session[from].cents)
                })
                .await
                .unwrap();
            assert_eq!(saved.streams.len(), 2);
            left
        })
    });
    let mut left = futures::future::try_join_all(tasks).await.unwrap();
    left.sort_unstable();
    assert_eq!(left, (0..TRANSFERS).collect::<Vec<_>>(), "each saw what the others had left");
    assert_eq!(accounts.load("from").await.unwrap().0.cents, 0);
    assert_eq!(accounts.load("to").await.unwrap().0.cents, TRANSFERS);
    let poor = accounts.modify("from", |account| account.withdraw(1)).await.unwrap_err();
    assert!(matches!(poor, Refused::Poor { has: 0 }), "{poor}");
}

#[tokio::test]
async fn retries_end_at_their_limit_with_the_conflict() {
    let (_db, factory) = bank().await;
    opened(&factory, "1", 0).await;
    let mut tries = 0;
    let retry = eventfabric::session::Retry { attempts: 3, ..patient() };
    let result: Result<_, SessionError> = factory
        .clone()
        .retrying(retry)
        .with_retry(async |session| {
            tries += 1;
            let account = session.load::<Account>("1").await?;
            session[account].deposit(1);
            // Somebody is quicker each time.
            factory
                .repository::<Account>()
                .modify("1", |account| {
                    account.deposit(10);
                    Ok::<_, SessionError>(())
                })
                .await?;
            Ok(())
        })
        .await;
    assert!(result.unwrap_err().is_conflict());
    assert_eq!(tries, 3);
    assert_eq!(versions(factory.store(), &stream("1")).await, [1, 2, 3, 4]);
}
