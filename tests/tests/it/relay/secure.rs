//! Servers that ask who one is: by certificates, and by credentials that an operator has signed.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use eventfabric::event::StreamId;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{Nats, caught_up, relay, until_error};
use crate::runners::rig::{Running, World, append, good};

fn pem(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mutual-tls");
    fixtures.join(name).display().to_string()
}

#[tokio::test]
async fn a_server_with_tls_is_believed_by_its_authority_and_shown_a_certificate() {
    let settings = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        pem("server.pem"),
        pem("server.key"),
        pem("ca.pem")
    );
    let Some(nats) = Nats::start_with(&settings).await else { return };
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(3)).await;
    let url = format!("tls://127.0.0.1:{}", nats.port);
    for trusted in [json!({}), json!({"ca": pem("ca.pem")})] {
        let mut with = json!({"url": url, "timeout": "1s"});
        with.as_object_mut().unwrap().extend(trusted.as_object().unwrap().clone());
        let running = Running::start(&world, relay(&nats, with)).await;
        until_error(&world, "running", "TLS fails").await;
        running.stop().await;
    }
    let all = json!({"url": url, "ca": pem("ca.pem"), "certificate": pem("client.pem"),
                     "key": pem("client.key")});
    let running = Running::start(&world, relay(&nats, all)).await;
    caught_up(&world).await;
    running.stop().await;
}

/// A JWT of NATS: who `subject` is and what it may do, as `issuer` says.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let claims = json!({"jti": "test", "iat": 1, "iss": issuer.public_key(),
                        "sub": subject.public_key(), "name": "test", "nats": claims});
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// The text of a file of credentials.
fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    let claims = json!({"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
                        "type": "user", "version": 2});
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(account, user, &claims),
        user.seed().unwrap()
    )
}

#[tokio::test]
async fn credentials_that_the_operator_has_signed_open_a_server_and_others_do_not() {
    let (operator, account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let unlimited = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                           "wildcards": true, "conn": -1, "leaf": -1, "mem_storage": -1,
                           "disk_storage": -1, "streams": -1, "consumer": -1});
    let accounts = [&account, &system].map(|of| {
        let claims = json!({"limits": if of.public_key() == account.public_key() { unlimited.clone() }
                                      else { json!({"subs": -1, "data": -1, "payload": -1, "conn": -1}) },
                            "type": "account", "version": 2});
        format!("{}: {}", of.public_key(), jwt(&operator, of, &claims))
    });
    let settings = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}\n}}",
        jwt(&operator, &operator, &json!({"type": "operator", "version": 2})),
        system.public_key(),
        accounts.join("\n")
    );
    let Some(nats) = Nats::start_with(&settings).await else { return };
    let world = World::new().await;
    append(&world.store().await, StreamId::new("A", "1"), "Deed", &good(3)).await;
    let dir = tempfile::tempdir().unwrap();
    let with = |name: &str, account: &KeyPair| {
        let path = dir.path().join(name);
        std::fs::write(&path, credentials(account, &KeyPair::new_user())).unwrap();
        relay(&nats, json!({"credentials": path, "timeout": "1s"}))
    };
    let stranger = KeyPair::new_account();
    let running = Running::start(&world, with("stranger.creds", &stranger)).await;
    let error = until_error(&world, "running", "refuses the credentials").await;
    assert!(!error.contains("SU"), "a seed is shown: {error}");
    running.stop().await;
    let running = Running::start(&world, with("user.creds", &account)).await;
    caught_up(&world).await;
    running.stop().await;
}
