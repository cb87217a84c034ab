//! `eventfabric run --http`

use eventfabric_tests::database;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{program, run};

#[tokio::test]
async fn the_api_is_not_served_to_everybody_by_accident() {
    let db = database().await;
    let silent = run(&db, &["run", "--http", "127.0.0.1:0"]).await;
    silent.failed(1, &["no tokens", "--http-no-tokens"]);
    let open = run(&db, &["run", "--http", "0.0.0.0:0", "--http-no-tokens"]).await;
    open.failed(1, &["other machines", "tokens"]);
    run(&db, &["run", "--http", "somewhere"]).await.failed(2, &["--http"]);
}

#[tokio::test]
async fn the_api_answers_beside_the_runners_and_ends_with_them() {
    let db = database().await;
    let mut host = program(&["run", "--http", "127.0.0.1:0", "--http-no-tokens"]);
    let mut host = host.env("EVENTFABRIC_DATABASE_URL", db.url()).spawn().unwrap();
    let mut log = BufReader::new(host.stderr.take().unwrap()).lines();
    let address = loop {
        let line = log.next_line().await.unwrap().expect("the host says where it listens");
        if let Some((_, address)) = line.split_once("listens on http://") {
            break address.split_whitespace().next().unwrap().to_owned();
        }
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| client.get(format!("http://{address}{path}")).send();
    assert_eq!(get("/healthz").await.unwrap().status(), 200);
    // Open for as long as the host is.
    let subscription = get("/v1/events/subscribe").await.unwrap();
    assert_eq!(subscription.status(), 200);
    let id = host.id().unwrap().to_string();
    let signalled = std::process::Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(signalled.unwrap().success());
    subscription.bytes().await.expect("the subscription ends as it should");
    assert_eq!(host.wait().await.unwrap().code(), Some(0));
}
