//! Tells another system of what happens to accounts: each event is posted as JSON to the URL that the operator
//! has set, with a signature by which the other side knows who sent it, and the delivery is noted.
//!
//! Settings: `url`, and `secret`, which both sides know. The signature is the HMAC-SHA-256 of the body with it,
//! in hex, in the header `X-Signature`.

use eventfabric_sdk::prelude::*;
use hmac::{Hmac, Mac as _};
use serde::Serialize;
use sha2::Sha256;

/// The body of a request.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    r#type: &'a str,
    tenant: &'a str,
    stream: String,
    version: u32,
    occurred_at: String,
    data: &'a serde_json::Value,
}

/// The reactor.
pub struct Webhooks;

impl Projection for Webhooks {
    type Event = serde_json::Value;

    fn describe() -> Description {
        Description::new("webhooks")
            .text("Tells another system of what happens to accounts")
            .mode(Mode::Async)
            .events(["Account.Opened", "Account.Deposited", "Account.Withdrawn"])
            .migrations(migrations!["migrations/001_create_deliveries.sql"])
    }

    fn handle(tx: &Tx, event: &Event<serde_json::Value>) -> Result<()> {
        let told = Told {
            id: &event.id,
            r#type: &event.event_type,
            tenant: &event.tenant,
            stream: format!("{}/{}", event.aggregate, event.aggregate_id),
            version: event.version,
            occurred_at: event.occurred_at().to_string(),
            data: &event.data,
        };
        let body = serde_json::to_vec(&told)?;
        let response = http::Request::post(setting("url")?)
            .header("content-type", "application/json")
            .header("x-signature", signature(setting("secret")?.as_bytes(), &body)?)
            .body(body)
            .send(event)?
            .error_for_status()?;
        // A plugin has no clock.
        let at = response.header("date").map(str::to_owned);
        tx.run(
            "INSERT INTO deliveries (event_id, type, status, answered_at) VALUES ($1, $2, $3, $4)",
            params![Uuid(event.id.clone()), event.event_type, i32::from(response.status()), at],
        )
    }
}

/// What the operator must set. Without it no event can be told.
fn setting(name: &str) -> Result<String> {
    config::get(name).ok_or_else(|| {
        Error::fatal(format_args!(
            "the setting `{name}` is missing: `eventfabric plugin config webhooks set {name} …`"
        ))
    })
}

fn signature(secret: &[u8], body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(body);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

export_projection!(Webhooks);

#[cfg(test)]
mod tests {
    use eventfabric_sdk::testing::{self, RecordingTx, Server, event};

    use super::*;

    fn deliver(db: &RecordingTx) -> Result<(), eventfabric_sdk::Failure> {
        testing::set_config("url", "https://hooks.example.com/bank");
        testing::set_config("secret", "Jefe");
        testing::run::<Webhooks>(db, [event("Account.Opened", r#"{"owner": "Ada"}"#)])
    }

    #[test]
    fn an_event_is_posted_with_a_signature_and_noted() {
        let (db, server) = (RecordingTx::new(), Server::new());
        server.answer(http::Response::new(202));
        deliver(&db).unwrap();
        let request = server.requests().remove(0);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&body["type"], &body["data"]["owner"]),
            (&"Account.Opened".into(), &"Ada".into())
        );
        let signed = signature(b"Jefe", &request.body).unwrap();
        assert!(request.headers.contains(&("x-signature".to_owned(), signed)));
        assert_eq!(db.calls_of("INSERT INTO deliveries")[0][2], Value::Int32(202));
    }

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let mac = signature(b"Jefe", b"what do ya want for nothing?").unwrap();
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_server_that_is_down_is_asked_again_and_one_that_says_no_is_not() {
        for (status, kind) in [(503, FailureKind::Retry), (400, FailureKind::Poison)] {
            let (db, server) = (RecordingTx::new(), Server::new());
            server.answer(http::Response::new(status));
            let failure = deliver(&db).unwrap_err();
            assert_eq!((failure.kind, failure.index), (kind, Some(0)));
            assert!(db.calls().is_empty());
        }
    }
}
