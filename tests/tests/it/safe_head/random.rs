//! Many writers that sleep and roll back at random, and a reader that takes every event up to the
//! head: nothing is missed, and the order never goes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventfabric::store::{LogFilter, Look, SafeHead, log_page};
use sqlx::PgPool;

use super::{Log, Writer};

/// xorshift64*: the same numbers at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    async fn pause(&mut self) {
        let ms = match self.roll(10) {
            0..=5 => return,
            6..=8 => self.roll(5),
            _ => self.roll(60),
        };
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Writes until told to stop; answers the positions that it has committed.
async fn write(mut writer: Writer, seed: u64, stop: Arc<AtomicBool>) -> Vec<i64> {
    let mut dice = Dice(seed);
    let mut committed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut positions: Vec<i64> = Vec::new();
        writer.run("BEGIN").await;
        dice.pause().await;
        for _ in 0..=dice.roll(3) {
            let undone = dice.roll(6) == 0;
            if undone {
                writer.run("SAVEPOINT s").await;
            }
            let position = writer.insert().await;
            dice.pause().await;
            if undone {
                writer.run("ROLLBACK TO SAVEPOINT s").await;
            } else {
                positions.push(position);
            }
        }
        if dice.roll(4) == 0 {
            writer.run("ROLLBACK").await;
        } else {
            writer.run("COMMIT").await;
            committed.extend(positions);
        }
        dice.pause().await;
    }
    committed
}

/// Takes what is between the old and the new head, as a runner does.
async fn take(pool: &PgPool, seen: &mut Vec<i64>, from: i64, to: i64) {
    let filter = LogFilter { after: from, until: Some(to), ..LogFilter::default() };
    let page = log_page(pool, &filter, i64::MAX).await.unwrap();
    seen.extend(page.events.iter().map(|event| event.position));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_that_sleep_and_roll_back_at_random_nothing_is_missed_and_nothing_goes_back() {
    let log = Log::of(0).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for seed in 1..=10 {
        writers.push(tokio::spawn(write(log.writer().await, seed * 7919, stop.clone())));
    }

    let (mut head, mut seen, mut holes) = (SafeHead::from(0), Vec::new(), 0);
    let mut committed: Option<BTreeSet<i64>> = None;
    loop {
        let before = head.position();
        let look = head.look(&log.pool).await.unwrap();
        assert!(head.position() >= before, "the head went back");
        take(&log.pool, &mut seen, before, head.position()).await;
        match look {
            Look::More => {}
            Look::AtEnd if committed.is_some() => break,
            Look::AtEnd => tokio::time::sleep(Duration::from_millis(1)).await,
            Look::AtHole(wait) => {
                holes += 1;
                tokio::time::sleep(wait).await;
            }
            Look::Shorter => panic!("nothing was taken out of the log"),
        }
        // However long that takes.
        if committed.is_none() && seen.len() > 1000 && holes > 10 {
            stop.store(true, Ordering::Relaxed);
            let all = futures::future::try_join_all(writers.drain(..)).await.unwrap();
            committed = Some(all.into_iter().flatten().collect());
        }
    }
    let committed = committed.unwrap();
    assert!(seen.is_sorted_by(|a, b| a < b), "the order went back, or something came twice");
    let seen: BTreeSet<i64> = seen.into_iter().collect();
    let missed: Vec<_> = committed.difference(&seen).collect();
    assert!(missed.is_empty(), "missed of {}: {missed:?}", committed.len());
    assert_eq!(seen, committed, "what was rolled back was seen");
}
