//! The client of one plugin: HTTP/1.1, with connections of its own. It follows nothing, keeps no cookies,
//! unpacks nothing and asks no proxy.

use std::error::Error;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::util::ServiceFn;

use super::{HttpAnswer, SendError};
use crate::sandbox::{Endpoint, Host};

/// A connection that is not used for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one server that are kept for the next request.
const KEPT: usize = 4;
/// Bytes of the head of an answer to a reactor.
const HEAD_BYTES: usize = 64 * 1024;
/// Headers of an answer to a reactor.
const HEADERS: usize = 100;

/// Sends requests.
pub struct Client {
    http: legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
}

type Connector = ServiceFn<fn(Uri) -> Connecting>;
type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, Unreached>> + Send>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Failed(String),
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new() -> Result<Self, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tower::service_fn(connecting as fn(Uri) -> Connecting));
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .http1_max_buf_size(HEAD_BYTES)
            .http1_max_headers(HEADERS)
            .build(connector);
        Ok(Self { http })
    }

    /// Sends a request, and reads the answer as far as `most` bytes.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<HttpAnswer, SendError> {
        let response = self.http.request(request).await.map_err(|error| failure(&error))?;
        read(response, most).await
    }
}

async fn read(response: Response<Incoming>, most: usize) -> Result<HttpAnswer, SendError> {
    let too_long = || {
        Err(SendError::Limit(format!(
            "the answer has more than {most} bytes (`limits.answer_bytes`)"
        )))
    };
    let (head, mut content) = response.into_parts();
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let of_headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let Some(most_of_body) = most.checked_sub(of_headers) else { return too_long() };
    if content.size_hint().lower() > most_of_body as u64 {
        return too_long();
    }
    let mut body = Vec::new();
    while let Some(frame) = content.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > most_of_body {
            return too_long();
        }
        body.extend_from_slice(&data);
    }
    Ok(HttpAnswer { status: head.status.as_u16(), headers, body })
}

fn connecting(uri: Uri) -> Connecting {
    Box::pin(connect(uri))
}

/// An address that does not answer keeps the next one waiting for so long.
const NEXT_ADDRESS: Duration = Duration::from_secs(2);

/// Connects to one of the addresses that a server may be at: to that very one, so that nobody can answer
/// otherwise between the check and the use.
async fn connect(uri: Uri) -> Result<TokioIo<TcpStream>, Unreached> {
    let tls = uri.scheme_str() == Some("https");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let server = Endpoint::parse(tls, authority).map_err(Unreached::Failed)?;
    let found: Vec<SocketAddr> = match &server.host {
        Host::Address(address) => vec![(*address, server.port).into()],
        Host::Name(name) => tokio::net::lookup_host((name.as_str(), server.port))
            .await
            .map_err(|error| Unreached::Failed(format!("`{name}` has no address: {error}")))?
            .collect(),
    };
    let mut last = None;
    let mut addresses = allowed(&server.host, found)?.into_iter().peekable();
    while let Some(address) = addresses.next() {
        // The last one has what is left of the request's time.
        let time = if addresses.peek().is_some() { NEXT_ADDRESS } else { Duration::MAX };
        let connected = tokio::time::timeout(time, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Err(error) => last = Some(error),
        }
    }
    let why = last.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
    Err(Unreached::Failed(format!("no connection to {server}: {why}")))
}

/// Those of the addresses that a server may be at.
fn allowed(host: &Host, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unreached> {
    let allowed: Vec<SocketAddr> =
        found.iter().copied().filter(|address| host.may_be_at(address.ip())).collect();
    match (allowed.is_empty(), found.first()) {
        (true, Some(first)) => Err(Unreached::Denied(format!(
            "`{host}` is at {}, which is no public address: a server there is granted by its address",
            first.ip()
        ))),
        _ => Ok(allowed),
    }
}

/// The innermost reason says most, and holds nothing of what was sent.
fn failure(error: &(dyn Error + 'static)) -> SendError {
    let mut last = error;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Unreached::Denied(why)) = error.downcast_ref() {
            return SendError::Denied(why.clone());
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
            return SendError::Limit(format!(
                "the head of the answer has more than {HEAD_BYTES} bytes or {HEADERS} headers"
            ));
        }
        last = error;
        next = error.source();
    }
    SendError::Connection(last.to_string())
}

/// The authorities that this machine trusts, read once. (`SSL_CERT_FILE` names others.)
pub(crate) fn tls() -> Result<ClientConfig, String> {
    static TLS: OnceLock<Result<ClientConfig, String>> = OnceLock::new();
    let config = TLS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificates of this machine cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    });
    config.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_addresses_of_a_name_only_those_are_tried_that_are_allowed() {
        let name = Host::Name("hooks.example.com".to_owned());
        let of = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let mixed = vec![of("127.0.0.1"), of("93.184.215.14"), of("::1")];
        assert_eq!(allowed(&name, mixed).unwrap(), [of("93.184.215.14")]);
        let rebound = allowed(&name, vec![of("169.254.169.254"), of("10.0.0.1")]).unwrap_err();
        assert!(matches!(&rebound, Unreached::Denied(why) if why.contains("169.254.169.254")));
        assert_eq!(allowed(&name, Vec::new()).unwrap(), []);
    }
}
