//! What the operator says of the API, checked before anything listens.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::limits::HttpLimits;
use super::tokens::TokenConfig;

/// The settings of the HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen, such as `127.0.0.1:8080`; without it there is no API.
    pub listen: Option<SocketAddr>,
    /// Whoever reaches the address may do everything. For a loopback address alone.
    pub allow_anonymous: bool,
    /// Who may do what.
    pub tokens: Vec<TokenConfig>,
    /// Tenants that may be appended to before they have any event, beside `default` and those that
    /// tokens name.
    pub tenants: Vec<String>,
    /// Any name of a tenant may be appended to.
    pub new_tenants: bool,
    /// The dashboard is at `/ui`.
    pub ui: bool,
    /// What a client may ask for.
    pub limits: HttpLimits,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: None,
            allow_anonymous: false,
            tokens: Vec::new(),
            tenants: Vec::new(),
            new_tenants: false,
            ui: true,
            limits: HttpLimits::default(),
        }
    }
}

impl HttpConfig {
    /// Refuses what would leave the events open to everybody, or shut to all.
    ///
    /// # Errors
    /// Says which settings do not go together, and what to do.
    pub(crate) fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        self.limits.check()?;
        if self.allow_anonymous {
            anyhow::ensure!(
                self.tokens.is_empty(),
                "http.allow_anonymous is set, and there are http.tokens, which nobody would need: \
                 keep one of the two"
            );
            anyhow::ensure!(
                listen.ip().is_loopback(),
                "http.listen is {listen}, which other machines reach: set http.tokens instead of \
                 allow_anonymous, or listen on 127.0.0.1"
            );
            return Ok(());
        }
        anyhow::ensure!(
            !self.tokens.is_empty(),
            "the HTTP API has no tokens, so nobody could use it: set http.tokens, or, on a loopback \
             address, allow everybody on this machine with --http-no-tokens \
             (http.allow_anonymous = true)"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, config: &HttpConfig) -> Result<(), String> {
        config.check(listen.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_tokens_nothing_is_served_unless_loopback_is_said_to_be_enough() {
        let silent = HttpConfig::default();
        assert!(check("127.0.0.1:0", &silent).unwrap_err().contains("--http-no-tokens"));
        let anonymous = HttpConfig { allow_anonymous: true, ..HttpConfig::default() };
        check("127.0.0.1:0", &anonymous).unwrap();
        check("[::1]:0", &anonymous).unwrap();
        for open in ["0.0.0.0:0", "[::]:0", "192.168.0.1:80"] {
            assert!(check(open, &anonymous).unwrap_err().contains("tokens"), "{open}");
            assert!(check(open, &silent).unwrap_err().contains("tokens"), "{open}");
        }
    }
}
