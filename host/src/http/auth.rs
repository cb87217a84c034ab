//! Who may do what: the token of a request, and its scope.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::expected::one;
use super::problem::{Code, Problem};
use super::state::Api;
use super::tokens::{Caller, Scope};

/// Lets a request pass whose token has the scope, and notes whose it is.
pub(super) async fn authorize(
    State((api, scope)): State<(Api, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&api, request.headers()) {
        Ok(caller) if caller.has(scope) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(_) => {
            Problem::new(Code::Forbidden, format!("this needs a token with the scope `{scope}`"))
                .into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn caller(api: &Api, headers: &HeaderMap) -> Result<Caller, Problem> {
    if api.anonymous {
        is_local(headers)?;
        return is_own_page(headers).map(|()| Caller::Anonymous);
    }
    let refuse = |detail: &str| Problem::new(Code::Unauthorized, detail);
    let given = one(headers, &header::AUTHORIZATION)
        .map_err(|_| refuse("the header Authorization can't be read"))?
        .ok_or_else(|| refuse("send the header `Authorization: Bearer TOKEN`"))?;
    let token = given
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refuse("the header is of the form `Authorization: Bearer TOKEN`"))?;
    let token =
        api.tokens.find(token.as_bytes()).ok_or_else(|| refuse("this token is not known"))?;
    Ok(Caller::Token(token.clone()))
}

/// Where everybody on this machine is let in, a page in a browser must not get in by giving its own
/// name the address 127.0.0.1: the name that it asked for is in `Host`.
fn is_local(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if local {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "this host answers without tokens to localhost alone; with another name, set http.tokens",
    ))
}

/// Nor may a page of another site have a browser send a request here: the browser says in `Origin` whose
/// page it is, also where it asks nobody before, as for a POST without a body.
fn is_own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if page.is_some_and(|(_, place)| host.is_some_and(|host| place.eq_ignore_ascii_case(host))) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "a page of another site asks, and this host answers without tokens: set http.tokens",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_is_told_apart() {
        let is = |origin: &str| {
            let headers = [
                (header::HOST, "localhost:8080".parse().unwrap()),
                (header::ORIGIN, origin.parse().unwrap()),
            ];
            is_own_page(&headers.into_iter().collect()).is_ok()
        };
        assert!(is("http://localhost:8080") && is("http://LOCALHOST:8080"));
        for other in ["null", "", "http://localhost", "https://example.com", "http://localhost:80"]
        {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        let is = |host: &str| {
            let headers = [(header::HOST, host.parse().unwrap())].into_iter().collect();
            is_local(&headers).is_ok()
        };
        for host in ["localhost", "LocalHost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8"]
        {
            assert!(is(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com", "10.0.0.1", "[::2]:80", "", "[", ":80"]
        {
            assert!(!is(host), "{host}");
        }
    }
}
