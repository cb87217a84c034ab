//! `eventfabric tenants`, as an operator uses it.

use eventfabric_tests::{TestDb, bare_database, database};

use crate::cli::{Said, finish, program, run};

/// A database that does not exist yet, by its URL; dropped with its guard.
async fn absent() -> (TestDb, String) {
    let db = bare_database().await;
    let url = db.url();
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {}", db.name)))
        .execute(&sqlx::PgPool::connect_with(db.superuser().database("postgres")).await.unwrap())
        .await
        .unwrap();
    (db, url)
}

fn secret(url: &str) -> String {
    let rest = url.split_once("://").unwrap().1;
    let user = rest.rsplit_once('@').unwrap().0;
    user.split_once(':').expect("the URL of the tests has a password").1.to_owned()
}

fn says_no_password(said: &Said, url: &str) {
    let secret = secret(url);
    assert!(!said.out.contains(&secret) && !said.err.contains(&secret), "{said:?}");
}

#[tokio::test]
async fn a_tenant_is_added_listed_and_removed_and_its_data_stay() {
    let (control, acme) = (database().await, database().await);
    let url = acme.url();
    let said = run(&control, &["tenants", "add", "acme", "--url", &url]).await.well();
    says_no_password(&said, &url);
    let again = run(&control, &["tenants", "add", "acme", "--url", &url, "--json"]).await.well();
    assert_eq!(again.json()["added"], false);
    let list = run(&control, &["tenants", "list", "--check", "--json"]).await.well();
    let row = &list.json()[0];
    assert_eq!((&row["tenant"], &row["state"]), (&"acme".into(), &"current".into()));
    assert!(row["database"].as_str().unwrap().ends_with(&acme.name), "{row}");
    says_no_password(&list, &url);
    let table = run(&control, &["tenants", "list"]).await.well();
    assert!(table.out.contains(&acme.name), "{}", table.out);
    says_no_password(&table, &url);
    let said = run(&control, &["tenants", "remove", "acme"]).await.well();
    assert!(said.out.contains("untouched"), "{}", said.out);
    assert_eq!(
        run(&control, &["tenants", "list", "--json"]).await.well().json(),
        serde_json::json!([])
    );
    run(&acme, &["events"]).await.well();
    run(&control, &["tenants", "remove", "acme"]).await.failed(4, &["no tenant acme"]);
}

#[tokio::test]
async fn add_makes_a_database_that_can_be_used_at_once() {
    let control = database().await;
    let (_guard, url) = absent().await;
    let add = ["tenants", "add", "acme", "--url", "-", "--create", "--json"];
    let mut add = program(&add);
    add.env("EVENTFABRIC_DATABASE_URL", control.url());
    let said = finish(&mut add, url.as_bytes()).await.well();
    assert_eq!((&said.json()["added"], &said.json()["created"]), (&true.into(), &true.into()));
    let append = ["append", "--aggregate", "A", "--id", "1", "--type", "T", "--tenant", "acme"];
    crate::cli::run_at(&url, &append).await.well();
    let migrated = run(&control, &["tenants", "migrate", "--json"]).await.well();
    assert_eq!(migrated.json()[0]["applied"], serde_json::json!([]));
}

#[tokio::test]
async fn what_can_not_be_added_is_said_and_not_added() {
    let control = database().await;
    let (_guard, url) = absent().await;
    let add = async |url: &str| run(&control, &["tenants", "add", "acme", "--url", url]).await;
    let said = add(&url).await.failed(5, &["was not added", "does not exist"]);
    says_no_password(&said, &url);
    add("mysql://me:hunter2@db/acme").await.failed(4, &["--url is not of the form postgres://"]);
    let other = database().await;
    add(&other.url()).await.well();
    let said = add(&control.url()).await.failed(1, &["in the directory already", &other.name]);
    says_no_password(&said, &other.url());
    run(&control, &["tenants", "add", "", "--url", &other.url()]).await.failed(2, &["1 to 512"]);
}

#[tokio::test]
async fn migrate_reports_the_failures_at_the_end_and_fails() {
    let (control, current, bare) = (database().await, database().await, bare_database().await);
    let (gone, gone_url) = absent().await;
    for (name, url) in [("a", current.url()), ("b", bare.url()), ("c", gone_url.clone())] {
        sqlx::query("INSERT INTO eventfabric.tenants VALUES ($1, $2)")
            .bind(name)
            .bind(url)
            .execute(&mut control.connect().await)
            .await
            .unwrap();
    }
    let said = run(&control, &["tenants", "list", "--check", "--json"]).await.well().json();
    let states: Vec<_> = said.as_array().unwrap().iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["current", "needs migrations", "unusable"]);
    let said = run(&control, &["tenants", "migrate", "--jobs", "2"]).await;
    let said = said.failed(1, &["1 of 3 databases were not migrated"]);
    assert!(said.out.contains("a: nothing to do"), "{}", said.out);
    assert!(said.out.contains("b: applied "), "{}", said.out);
    assert!(said.out.contains("c: FAILED: ") && said.out.contains(&gone.name), "{}", said.out);
    says_no_password(&said, &gone_url);
    let said = run(&control, &["tenants", "migrate", "a", "b", "--json"]).await.well().json();
    assert_eq!(said[1]["applied"], serde_json::json!([]));
    run(&control, &["tenants", "migrate", "nobody"]).await.failed(4, &["no tenant nobody"]);
}

#[tokio::test]
async fn tenants_of_the_settings_need_no_control_database() {
    let acme = bare_database().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    std::fs::write(&file, format!("[tenants]\nacme = \"{}\"\n", acme.url())).unwrap();
    let file = file.to_str().unwrap();
    let say = async |args: &[&str]| {
        finish(&mut program(&[&["--config", file], args].concat()), b"").await
    };
    let list = say(&["tenants", "list", "--json"]).await.well();
    assert_eq!(list.json()[0]["source"], "settings");
    says_no_password(&list, &acme.url());
    say(&["tenants", "migrate"]).await.well();
    let url = acme.url();
    say(&["tenants", "add", "globex", "--url", &url]).await.failed(1, &["no table of tenants"]);
    say(&["tenants", "remove", "acme"]).await.failed(1, &["stands in the settings"]);
    finish(&mut program(&["tenants", "list"]), b"").await.failed(1, &["which tenants?"]);
}
