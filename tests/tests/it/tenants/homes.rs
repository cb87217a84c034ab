//! Commands that name a tenant which has a database of its own: they work there, and never beside it.

use eventfabric_tests::{TestDb, bare_database, database};

use crate::cli::{finish, program, run, run_at};
use crate::store::rows;

/// A database with a directory in which `acme` has a database of its own, and that one.
async fn control_and_own() -> (TestDb, TestDb) {
    let (control, own) = (database().await, database().await);
    run(&control, &["tenants", "add", "acme", "--url", &own.url()]).await.well();
    (control, own)
}

const APPEND: [&str; 7] = ["append", "--aggregate", "A", "--id", "1", "--type", "T"];

#[tokio::test]
async fn events_of_a_tenant_with_a_database_of_its_own_never_go_into_the_shared_one() {
    let (control, own) = control_and_own().await;
    run(&control, &[&APPEND[..], &["--tenant", "acme"]].concat()).await.well();
    run(&control, &[&APPEND[..], &["--tenant", "globex"]].concat()).await.well();
    run(&control, &APPEND).await.well();
    assert_eq!((rows(&control).await.0, rows(&own).await.0), (2, 1));
    // What is there is found from there, by every command that names the tenant.
    for (args, shared, found) in [
        (&["events", "A/1", "--count"][..], "1", "1"),
        (&["events", "--count"], "2", "1"),
        (&["events", "A/1", "--until", "9", "--count"], "1", "1"),
    ] {
        assert_eq!(run(&control, args).await.well().out.trim(), shared, "{args:?}");
        let of_acme = [args, &["--tenant", "acme"]].concat();
        assert_eq!(run(&control, &of_acme).await.well().out.trim(), found, "{args:?}");
    }
    let stats = run(&control, &["stats", "--tenant", "acme", "--json"]).await.well().json();
    assert_eq!(stats["log"]["events"], 1, "{stats}");
    let (dismiss, tenant) =
        (["dismiss", "1", "--reason", "r", "--by", "ada"], ["--tenant", "acme"]);
    run(&control, &[&dismiss[..], &tenant].concat()).await.well();
    for (at, dismissed) in [(&own, 1), (&control, 0)] {
        let list = run(at, &["dismissed", "--json"]).await.well().json();
        assert_eq!(list.as_array().unwrap().len(), dismissed);
    }
    let list = run(&control, &["dismissed", "--json", "--tenant", "acme"]).await.well().json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    run(&control, &["undismiss", "1", "--by", "ada", "--tenant", "acme"]).await.well();
    assert_eq!(run(&own, &["dismissed", "--json"]).await.well().json(), serde_json::json!([]));
    // Its own database has no directory, and is used as it is.
    run_at(&own.url(), &[&APPEND[..], &["--tenant", "acme"]].concat()).await.well();
    assert_eq!(rows(&own).await.0, 2);
}

#[tokio::test]
async fn snapshots_of_a_tenant_with_a_database_of_its_own_are_looked_for_there() {
    let (control, own) = control_and_own().await;
    let write = "INSERT INTO eventfabric.snapshots
        (aggregate_name, aggregate_id, aggregate_version, snapshot_schema_version, state, tenant_id)
        VALUES ('A', '1', 1, 1, '{}', 'acme')";
    sqlx::query(write).execute(&mut own.connect().await).await.unwrap();
    let list = ["snapshots", "list", "--json", "--tenant", "acme"];
    assert_eq!(run(&control, &list).await.well().json().as_array().unwrap().len(), 1);
    let delete = run(&control, &["snapshots", "delete", "--tenant", "acme", "--json"]).await.well();
    assert_eq!(delete.json()["deleted"], 1);
    assert_eq!(run(&own, &list).await.well().json(), serde_json::json!([]));
}

#[tokio::test]
async fn an_import_refuses_lines_whose_events_belong_into_another_database() {
    let (control, own) = control_and_own().await;
    let lines = concat!(
        r#"{"aggregate":"A","id":"1","type":"T","payload":{},"tenant":"acme"}"#,
        "\n",
        r#"{"aggregate":"A","id":"2","type":"T","payload":{}}"#,
        "\n",
    );
    let import = async |args: &[&str]| {
        let args = [&["import", "-", "--on-error", "skip", "--json"], args].concat();
        let mut import = program(&args);
        finish(import.env("EVENTFABRIC_DATABASE_URL", control.url()), lines.as_bytes()).await
    };
    let said = import(&[]).await.failed(4, &["line 1", "tenant acme", "--tenant acme"]);
    assert_eq!(said.json()["imported"], 1);
    assert_eq!((rows(&control).await.0, rows(&own).await.0), (1, 0));
    // There, a line that names no tenant is this tenant's.
    let said = import(&["--tenant", "acme"]).await.well();
    assert_eq!(said.json()["imported"], 2);
    assert_eq!((rows(&control).await.0, rows(&own).await.0), (1, 2));
    let count = run(&own, &["events", "--tenant", "acme", "--count"]).await.well();
    assert_eq!(count.out.trim(), "2");
}

#[tokio::test]
async fn a_tenant_whose_database_can_not_be_used_is_an_error_that_names_it() {
    let (control, dead) = (database().await, bare_database().await);
    let url = dead.url();
    let gone = url.replace(&dead.name, "there_is_no_such_database");
    let add = "INSERT INTO eventfabric.tenants (tenant_id, database_url) VALUES ($1, $2)";
    for (tenant, url) in [("gone", gone.as_str()), ("wrong", "mysql://x/y"), ("bare", url.as_str())]
    {
        let add = sqlx::query(add).bind(tenant).bind(url);
        add.execute(&mut control.connect().await).await.unwrap();
    }
    for (tenant, code, words) in [
        ("gone", 5, &["the database of tenant gone", "does not exist"][..]),
        ("wrong", 1, &["no address of tenant wrong", "tenants remove"]),
        ("bare", 1, &["migrat"]),
    ] {
        let append = [&APPEND[..], &["--tenant", tenant]].concat();
        run(&control, &append).await.failed(code, words);
        run(&control, &["events", "A/1", "--tenant", tenant]).await.failed(code, words);
    }
    assert_eq!(rows(&control).await.0, 0);
}

#[tokio::test]
async fn a_tenant_of_the_settings_needs_no_other_database() {
    let own = database().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    std::fs::write(&file, format!("[tenants]\nacme = \"{}\"\n", own.url())).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let say = async |args: &[&str]| finish(&mut program(&[&config, args].concat()), b"").await;
    say(&[&APPEND[..], &["--tenant", "acme"]].concat()).await.well();
    let events = say(&["events", "A/1", "--tenant", "acme", "--count"]).await.well();
    assert_eq!(events.out.trim(), "1");
    say(&APPEND).await.failed(2, &["which database?"]);
    assert_eq!(rows(&own).await.0, 1);
}
