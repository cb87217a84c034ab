//! `import`: the same line is the same event whenever it is read, and what is wrong has a number.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use eventfabric_tests::{TestDb, database};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{Said, finish, program, run};

/// A folder with files for the program.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

async fn import(db: &TestDb, file: &Path, more: &[&str]) -> Said {
    let args: Vec<&str> =
        ["import", "--json", file.to_str().unwrap()].iter().chain(more).copied().collect();
    run(db, &args).await
}

fn line(n: usize) -> String {
    let id = n % 3;
    format!("{{\"aggregate\":\"A\",\"id\":\"{id}\",\"type\":\"T\",\"payload\":{{\"n\":{n}}}}}\n")
}

fn good(count: usize) -> String {
    (1..=count).map(line).collect()
}

fn summary(imported: u64, already_there: u64, left_out: u64) -> serde_json::Value {
    json!({"imported": imported, "already_there": already_there, "left_out": left_out})
}

/// The numbers of the events, in the order of the log.
async fn numbers(db: &TestDb) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT (payload->>'n')::bigint FROM eventfabric.events ORDER BY global_position",
    )
    .fetch_all(&mut db.connect().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_file_is_imported_once_plain_or_gzipped() {
    let (db, files) = (database().await, Files::new());
    let text = good(30);
    let plain = files.write("a.ndjson", text.as_bytes());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzipped = files.write("a.ndjson.gz", &gzip.finish().unwrap());

    let said = import(&db, &gzipped, &["--batch", "7"]).await.well();
    assert_eq!(said.json(), summary(30, 0, 0));
    for again in [&gzipped, &plain] {
        assert_eq!(import(&db, again, &[]).await.well().json(), summary(0, 30, 0));
    }
    assert_eq!(numbers(&db).await, (1..=30).collect::<Vec<i64>>());

    // More at its end: only that is new. Under another name everything is.
    let longer = files.write("a.ndjson", good(40).as_bytes());
    assert_eq!(import(&db, &longer, &[]).await.well().json(), summary(10, 30, 0));
    let other = files.write("b.ndjson", text.as_bytes());
    let same = import(&db, &other, &["--source", "a.ndjson"]).await.well();
    assert_eq!(same.json(), summary(0, 30, 0));
    assert_eq!(import(&db, &other, &[]).await.well().json(), summary(30, 0, 0));
}

#[tokio::test]
async fn stdin_is_imported_plain_or_gzipped() {
    let db = database().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(good(20).as_bytes()).unwrap();
    for (input, wanted) in
        [(good(10).into_bytes(), summary(10, 0, 0)), (gzip.finish().unwrap(), summary(10, 10, 0))]
    {
        let mut command = program(&["import", "-", "--json"]);
        let said = finish(command.env("EVENTFABRIC_DATABASE_URL", db.url()), &input).await.well();
        assert_eq!(said.json(), wanted);
    }
    assert_eq!(numbers(&db).await.len(), 20);
}

#[tokio::test]
async fn blank_lines_windows_line_ends_and_a_last_line_without_end_are_fine() {
    let (db, files) = (database().await, Files::new());
    let text = format!("\n  \n{}\r\n\r\n{}", line(1).trim(), line(2).trim());
    let file = files.write("a.ndjson", text.as_bytes());
    assert_eq!(import(&db, &file, &[]).await.well().json(), summary(2, 0, 0));
    let empty = files.write("empty.ndjson", b"");
    assert_eq!(import(&db, &empty, &[]).await.well().json(), summary(0, 0, 0));
}

#[tokio::test]
async fn a_line_keeps_everything_that_it_says() {
    let (db, files) = (database().await, Files::new());
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let line = json!({
        "aggregate": "A", "id": "1", "type": "T", "version": 4, "payload": {"n": 1},
        "occurred_at": "2013-01-01T10:17:00Z", "event_id": id, "tenant": "acme",
        "topic": "flights", "correlation_id": "c", "causation_id": "d",
    });
    let file = files.write("a.ndjson", line.to_string().as_bytes());
    import(&db, &file, &[]).await.well();
    let event = run(&db, &["events", "--json"]).await.well().lines().remove(0);
    for (field, wanted) in [
        ("schema_version", json!(4)),
        ("occurred_at", json!("2013-01-01T10:17:00Z")),
        ("tenant", json!("acme")),
        ("correlation_id", json!("c")),
        ("causation_id", json!("d")),
    ] {
        assert_eq!(event[field], wanted, "{field}");
    }
    let row: (String, uuid::Uuid) = sqlx::query_as(
        "SELECT topic, event_id FROM eventfabric.outbox JOIN eventfabric.events USING (global_position)",
    )
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap();
    assert_eq!(row, ("flights".to_owned(), id.parse().unwrap()));
}

/// A line whose payload is an array in an array in an array…
fn nested(depth: usize) -> Vec<u8> {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let payload = format!("{{\"n\":{open}{close}}}");
    format!("{{\"aggregate\":\"A\",\"id\":\"1\",\"type\":\"T\",\"payload\":{payload}}}")
        .into_bytes()
}

/// Files of five lines whose third one can't be used, and what is said of it.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let around = |third: &[u8]| {
        let mut text = good(2).into_bytes();
        text.extend_from_slice(third);
        text.extend_from_slice(format!("\n{}{}", line(4), line(5)).as_bytes());
        text
    };
    vec![
        ("half a line", around(br#"{"aggregate":"A","id":"1","#), "EOF"),
        ("no JSON", around(b"hello"), "expected value"),
        ("invalid UTF-8", around(b"{\"aggregate\":\"\xff\xfe\"}"), "utf-8"),
        (
            "unknown field",
            around(br#"{"aggregate":"A","id":"1","type":"T","payload":{},"colour":1}"#),
            "colour",
        ),
        ("missing field", around(br#"{"aggregate":"A","id":"1","payload":{}}"#), "type"),
        ("no object", around(br#"{"aggregate":"A","id":"1","type":"T","payload":[]}"#), "object"),
        ("no name", around(br#"{"aggregate":"","id":"1","type":"T","payload":{}}"#), "aggregate"),
        (
            "half a surrogate pair",
            around(br#"{"aggregate":"A","id":"1","type":"T","payload":{"a":"\ud800"}}"#),
            "surrogate",
        ),
        (
            "topic with NUL",
            around(br#"{"aggregate":"A","id":"1","type":"T","payload":{},"topic":"\u0000"}"#),
            "topic",
        ),
        (
            "a number that jsonb cannot hold",
            around(br#"{"aggregate":"A","id":"1","type":"T","payload":{"n":1e999999}}"#),
            "exponent",
        ),
        (
            "a time that PostgreSQL does not know",
            around(
                br#"{"aggregate":"A","id":"1","type":"T","payload":{},"occurred_at":"-100000-01-01T00:00:00Z"}"#,
            ),
            "timestamp",
        ),
        ("nested too deeply", around(&nested(100_000)), "stack depth"),
        (
            "no time",
            around(br#"{"aggregate":"A","id":"1","type":"T","payload":{},"occurred_at":"noon"}"#),
            "line 3",
        ),
    ]
}

#[tokio::test]
async fn a_broken_line_stops_the_import_and_is_numbered() {
    let files = Files::new();
    for (what, bytes, word) in broken() {
        let db = database().await;
        let file = files.write("a.ndjson", &bytes);
        let said = import(&db, &file, &[]).await.failed(4, &["line 3: ", word]);
        assert_eq!(said.json(), summary(2, 0, 0), "{what}");
        assert_eq!(numbers(&db).await, [1, 2], "{what}");
        // Mended, it goes on where it was.
        let file = files.write("a.ndjson", good(5).as_bytes());
        assert_eq!(import(&db, &file, &[]).await.well().json(), summary(3, 2, 0), "{what}");
    }
}

#[tokio::test]
async fn a_broken_line_can_be_skipped_and_is_numbered_all_the_same() {
    let files = Files::new();
    for (what, bytes, word) in broken() {
        let db = database().await;
        let file = files.write("a.ndjson", &bytes);
        let said = import(&db, &file, &["--on-error", "skip"]).await;
        let said = said.failed(4, &["line 3 left out: ", word, "1 lines could not be used"]);
        assert_eq!(said.json(), summary(4, 0, 1), "{what}");
        assert_eq!(numbers(&db).await, [1, 2, 4, 5], "{what}");
        // Once more with a line after them: what is there is counted once.
        let longer = files.write("a.ndjson", &[bytes, line(6).into_bytes()].concat());
        let said = import(&db, &longer, &["--on-error", "skip"]).await.failed(4, &["line 3"]);
        assert_eq!(said.json(), summary(1, 4, 1), "{what}");
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_skipped_to_its_end_and_no_further() {
    let files = Files::new();
    let long = format!("{}\n", "x".repeat(17 << 20));
    for (text, numbered) in [
        (format!("{}{long}{}", line(1), line(3)), vec![1, 3]),
        // At the end of the file, and without an end of its own.
        (format!("{}{}", line(1), long.trim_end()), vec![1]),
    ] {
        let db = database().await;
        let file = files.write("long.ndjson", text.as_bytes());
        let said = import(&db, &file, &["--on-error", "skip"]).await;
        let said = said.failed(4, &["line 2 left out: it is longer than 16 MiB"]);
        assert_eq!(said.json(), summary(numbered.len() as u64, 0, 1));
        assert_eq!(numbers(&db).await, numbered);
    }
}

#[tokio::test]
async fn an_id_that_stands_twice_in_a_file_is_imported_once() {
    let files = Files::new();
    let with_id = line(1).replace(
        "\"payload\"",
        "\"event_id\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"payload\"",
    );
    let text = format!("{with_id}{}{with_id}{}", line(2), line(3));
    for batch in ["1", "2", "500"] {
        let db = database().await;
        let file = files.write("a.ndjson", text.as_bytes());
        let said = import(&db, &file, &["--batch", batch]).await.well();
        assert_eq!(said.json(), summary(3, 1, 0), "batches of {batch}");
        assert_eq!(numbers(&db).await, [1, 2, 3], "batches of {batch}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_or_broken_ends_with_words() {
    let (db, files) = (database().await, Files::new());
    let missing = files.0.path().join("missing.ndjson");
    import(&db, &missing, &[]).await.failed(4, &["missing.ndjson cannot be read"]);
    import(&db, files.0.path(), &[]).await.failed(4, &["is a folder"]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(good(2000).as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let cut = files.write("cut.ndjson.gz", &whole[..whole.len() / 2]);
    let said = import(&db, &cut, &[]).await;
    said.failed(4, &["cannot be read further", "line "]);
    let there = numbers(&db).await;
    assert_eq!(there, (1..=there.len() as i64).collect::<Vec<_>>(), "what was read before it");
}
