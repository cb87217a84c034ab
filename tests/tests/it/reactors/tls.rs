//! Requests over TLS: only to a server that proves who it is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use eventfabric_tests::workspace;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::super::runners::rig::{Process, Running, World, append, deploy_guest, quick};
use super::grant;

/// A certificate of `localhost`, by an authority that nobody trusts unless told to.
fn file(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/tls").join(name)
}

/// A server that answers whoever trusts it.
fn server() -> u16 {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut head = [0; 4096];
            // Whoever does not trust it goes away.
            if stream.read(&mut head).is_ok_and(|bytes| bytes > 0) {
                let answer = b"HTTP/1.1 204 So\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

#[tokio::test]
async fn a_server_is_asked_only_where_its_certificate_is_trusted_and_names_it() {
    let (world, port) = (World::new().await, server());
    let running = Running::start(&world, quick()).await;
    let [named, other] = ["localhost", "127.0.0.1"].map(|host| format!("https:{host}:{port}"));
    grant(&running.host, "reactor", &[&named, &other]).await;
    deploy_guest(&running.host, "reactor").await;
    let store = world.store().await;
    let ask = async || {
        let requests = ["localhost", "127.0.0.1"]
            .map(|host| json!({"url": format!("https://{host}:{port}/")}));
        let stream = eventfabric::event::StreamId::new("Asked", "1");
        append(&store, stream, "Asked", &[json!({"requests": requests})]).await[0]
    };
    let told = async |position: i64| {
        let sent = format!("SELECT count(*) FROM reactor.sent WHERE position = {position}");
        world.until_number(&sent, 2).await;
        let told = format!(
            "SELECT outcome || ' ' || detail FROM reactor.sent WHERE position = {position} ORDER BY number"
        );
        world.texts(&told).await
    };
    let untrusted = told(ask().await).await;
    for told in &untrusted {
        assert!(told.starts_with("connection invalid peer certificate: UnknownIssuer"), "{told}");
    }
    running.stop().await;
    let authority = file("ca.pem");
    let host = Process::host(&world, None, &[("SSL_CERT_FILE", authority.to_str().unwrap())]);
    let trusted = told(ask().await).await;
    assert_eq!(trusted[0], "204 ");
    assert!(trusted[1].starts_with("connection invalid peer certificate"), "{trusted:?}");
    assert!(trusted[1].contains("not valid for name"), "{trusted:?}");
    host.signal("TERM");
    host.succeeded().await;
}
