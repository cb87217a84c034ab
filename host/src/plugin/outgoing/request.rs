//! From what a plugin asks to send to what is sent, or what is wrong with it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use uuid::Uuid;

use super::{SendError, wit};
use crate::plugin::limits::Limits;
use crate::sandbox::Endpoint;

/// Headers of a request that a reactor sends.
const HEADERS: usize = 100;

/// Headers of the connection, which are the host's; `proxy-…` is, too.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The request, and the server that it goes to. The server and the address that is sent have been made of the
/// same text by the same reader.
pub(super) fn checked(
    request: wit::Request,
    key: Uuid,
    limits: &Limits,
) -> Result<(Endpoint, Request<Full<Bytes>>), SendError> {
    let wit::Request { method, url, headers, body, .. } = request;
    let of_headers = headers.iter().map(|(name, value)| name.len() + value.len());
    let bytes = of_headers.fold(url.len() + body.len(), usize::saturating_add);
    if bytes > limits.request_bytes {
        return Err(SendError::Limit(format!(
            "a request may have {} bytes (`limits.request_bytes`); this one has {bytes}",
            limits.request_bytes
        )));
    }
    if headers.len() > HEADERS {
        return Err(SendError::Limit(format!("a request may have {HEADERS} headers")));
    }
    let (server, uri) = address(&url).map_err(SendError::Invalid)?;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = match method {
        wit::Method::Get => Method::GET,
        wit::Method::Head => Method::HEAD,
        wit::Method::Post => Method::POST,
        wit::Method::Put => Method::PUT,
        wit::Method::Patch => Method::PATCH,
        wit::Method::Delete => Method::DELETE,
    };
    *request.uri_mut() = uri;
    for (name, value) in &headers {
        let (name, value) = header(name, value).map_err(SendError::Invalid)?;
        request.headers_mut().append(name, value);
    }
    let ours = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| SendError::Invalid(error.to_string()))
    };
    let agent = ours(concat!("eventfabric/", env!("CARGO_PKG_VERSION")))?;
    request.headers_mut().entry(USER_AGENT).or_insert(agent);
    // A string of a structured field: in quotes.
    let key = ours(&format!("\"{key}\""))?;
    request.headers_mut().insert(HeaderName::from_static("idempotency-key"), key);
    Ok((server, request))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return Err(format!("the header `{lower}` is the host's"));
    }
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is no name of a header"))?;
    // What it holds may be a secret.
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| format!("the value of the header `{lower}` has a character of control"))?;
    Ok((header, value))
}

/// Reads an absolute URL. What is wrong is told without its path, which may hold a secret.
fn address(url: &str) -> Result<(Endpoint, Uri), String> {
    let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("the URL does not begin with `https://` or `http://`".to_owned()),
    };
    if let Some(odd) = rest.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        return Err(format!("the URL has the character {odd:?}; percent-encode it"));
    }
    // What is behind `#` is never sent.
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let server = Endpoint::parse(tls, &rest[..end])?;
    let path = match &rest[end..] {
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    };
    let uri = Uri::builder().scheme(server.scheme()).authority(server.to_string());
    let uri = uri.path_and_query(path).build();
    Ok((server, uri.map_err(|_| "the path of the URL has a wrong character".to_owned())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, headers: &[(&str, &str)]) -> wit::Request {
        wit::Request {
            method: wit::Method::Post,
            url: url.to_owned(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: b"{}".to_vec(),
            timeout_ms: None,
        }
    }

    fn checked(request: wit::Request) -> Result<(Endpoint, Request<Full<Bytes>>), SendError> {
        super::checked(request, Uuid::nil(), &Limits::default())
    }

    #[test]
    fn what_is_sent_is_what_was_asked_for_and_the_hosts_own_headers() {
        let headers = [("X-Signature", "abc"), ("accept", "text/plain"), ("Accept", "*/*")];
        let (server, request) =
            checked(asked("https://Hooks.example.com/a%20b?x=1#here", &headers)).unwrap();
        assert_eq!(server.to_string(), "hooks.example.com:443");
        assert_eq!(request.uri().to_string(), "https://hooks.example.com:443/a%20b?x=1");
        assert_eq!(request.method(), Method::POST);
        let of = |name: &str| {
            let values = request.headers().get_all(name).iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of("x-signature"), ["abc"]);
        assert_eq!(of("accept"), ["text/plain", "*/*"]);
        assert_eq!(of("idempotency-key"), ["\"00000000-0000-0000-0000-000000000000\""]);
        assert!(of("user-agent")[0].starts_with("eventfabric/"));
        let (_, bare) = checked(asked("http://[2001:db8::1]?q", &[("user-agent", "me")])).unwrap();
        assert_eq!(bare.uri().to_string(), "http://[2001:db8::1]:80/?q");
        assert_eq!(bare.headers()["user-agent"], "me");
    }

    #[test]
    fn a_url_that_could_be_read_in_two_ways_is_invalid_and_no_secret_of_it_is_told() {
        for url in [
            "",
            "hooks.example.com/secret",
            "ftp://hooks.example.com/secret",
            "HTTP://h/secret",
            "//h/secret",
            "http:h/secret",
            "http:///secret",
            "http://@h/secret",
            "http://a.example@h/secret",
            "http://a.example:80@h/secret",
            "http://h\\@a.example/secret",
            "http://a.example\\.b/secret",
            "http://h /secret",
            "http://h/secret\r\nHost: a.example",
            "http://h/secret\0",
            "http://h\t/secret",
            "http://h/sécret",
            "http://127.1/secret",
            "http://2130706433/secret",
            "http://0x7f000001/secret",
            "http://0177.0.0.1/secret",
            "http://[::1%25lo]/secret",
            "http://[::ffff:127.0.0.1]/secret",
            "http://h./secret",
            "http://h:0/secret",
            "http://h:99999/secret",
            "http://h:80:80/secret",
            "http://h%2e/secret",
        ] {
            let error = checked(asked(url, &[])).unwrap_err();
            assert!(matches!(error, SendError::Invalid(_)), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_line_breaks_in_headers_are_invalid() {
        for (name, value) in [
            ("Host", "a.example"),
            ("content-length", "0"),
            ("Transfer-Encoding", "chunked"),
            ("transfer-encoding", "identity"),
            ("Connection", "close"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("Keep-Alive", "1"),
            ("Idempotency-Key", "\"mine\""),
            ("Proxy-Authorization", "Basic secret"),
            ("x", "a\r\nHost: secret"),
            ("x", "a\nsecret"),
            ("x", "a\rsecret"),
            ("x", "a\0secret"),
            ("x\r\ny", "secret"),
            ("x y", "secret"),
            ("x:", "secret"),
            ("", "secret"),
            (":authority", "secret"),
            ("transfer-encoding ", "chunked"),
            ("tränsfer", "secret"),
        ] {
            let error = checked(asked("http://h/", &[(name, value)])).unwrap_err();
            assert!(matches!(error, SendError::Invalid(_)), "{name}: {error}");
            assert!(!error.to_string().contains("secret"), "{name}: {error}");
        }
    }

    #[test]
    fn a_request_is_within_its_limits() {
        let limits = Limits { request_bytes: 100, ..Limits::default() };
        let of =
            |body: usize| wit::Request { body: vec![0; body], ..asked("http://h/", &[("a", "b")]) };
        assert!(super::checked(of(89), Uuid::nil(), &limits).is_ok());
        let error = super::checked(of(90), Uuid::nil(), &limits).unwrap_err();
        assert!(matches!(error, SendError::Limit(_)), "{error}");
        let many = vec![("a", "b"); HEADERS + 1];
        assert!(matches!(checked(asked("http://h/", &many)), Err(SendError::Limit(_))));
    }
}
