//! An import of a week of flights that is killed in the middle.

use std::time::{Duration, Instant};

use eventfabric_tests::{TestDb, database, workspace};

use super::{program, run};
use crate::store::number;

const WEEK: i64 = 12_163;

fn week() -> String {
    workspace().join("tests/data/flights-2013-01-week1.ndjson.gz").to_str().unwrap().to_owned()
}

async fn count(db: &TestDb) -> i64 {
    number(&mut db.connect().await, "SELECT count(*) FROM eventfabric.events").await
}

#[tokio::test]
async fn an_import_that_is_killed_and_begun_again_has_every_event_once() {
    let db = database().await;
    let args = ["import", "--json", "--batch", "100", &week()];
    let mut conn = db.connect().await;
    for more_than in [500, 4000] {
        let mut command = program(&args);
        let mut child = command.env("EVENTFABRIC_DATABASE_URL", db.url()).spawn().unwrap();
        let start = Instant::now();
        while number(&mut conn, "SELECT count(*) FROM eventfabric.events").await < more_than {
            assert!(start.elapsed() < Duration::from_secs(60), "the import does not move");
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // SIGKILL: nothing is tidied up.
        child.kill().await.unwrap();
    }
    let there = count(&db).await;
    assert!((4000..WEEK).contains(&there), "{there}");

    let said = run(&db, &args).await.well().json();
    assert_eq!(said["left_out"], 0);
    // What the killed one had sent may have been committed after the count.
    let already = said["already_there"].as_i64().unwrap();
    assert!(already >= there, "{said}");
    assert_eq!(said["imported"].as_i64().unwrap() + already, WEEK);
    assert_eq!(count(&db).await, WEEK);

    let holes = "SELECT count(*) FROM (
                     SELECT FROM eventfabric.events
                     GROUP BY tenant_id, aggregate_name, aggregate_id
                     HAVING min(aggregate_version) <> 1 OR max(aggregate_version) <> count(*)
                 ) s";
    assert_eq!(number(&mut conn, holes).await, 0, "versions without holes");
    let wrong = "SELECT count(*) FROM eventfabric.stream_versions v
                 FULL JOIN (SELECT tenant_id, aggregate_name, aggregate_id, count(*) AS n
                            FROM eventfabric.events GROUP BY 1, 2, 3) e
                      USING (tenant_id, aggregate_name, aggregate_id)
                 WHERE v.current_version IS DISTINCT FROM e.n";
    assert_eq!(number(&mut conn, wrong).await, 0);
    // Each stream in the order of the file.
    let disorder = "SELECT count(*) FROM (
                        SELECT global_position
                               < lag(global_position) OVER (PARTITION BY tenant_id, aggregate_name,
                                                            aggregate_id
                                                            ORDER BY aggregate_version) AS back
                        FROM eventfabric.events) e WHERE back";
    assert_eq!(number(&mut conn, disorder).await, 0);
    assert_eq!(number(&mut conn, "SELECT count(*) FROM eventfabric.outbox").await, WEEK);
}
