//! Bearer tokens: what each may do, and for which tenants.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Characters of a token, at least: a shorter one could be guessed.
const LEAST_LENGTH: usize = 16;

/// What a token allows. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To append events.
    Append,
    /// To read streams and the log, to subscribe, and to ask plugins.
    Read,
    /// To see projections, plugins and dead letters, and to requeue.
    Admin,
    /// To read `/metrics`.
    Metrics,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        })
    }
}

/// A token as the operator sets it: with one of `token`, `token_sha256` and `token_env`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What logs call it.
    pub name: String,
    /// The token itself.
    #[serde(default)]
    pub token: Option<String>,
    /// Its SHA-256 in hexadecimal digits, so that the settings hold no secret.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// The environment variable that holds it.
    #[serde(default)]
    pub token_env: Option<String>,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// For which tenants; all of them where this is left out.
    #[serde(default)]
    pub tenants: Option<BTreeSet<String>>,
}

impl std::fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenConfig")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

/// A token that is known.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) name: String,
    scopes: BTreeSet<Scope>,
    pub(super) tenants: Option<BTreeSet<String>>,
}

/// Who has sent a request.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Somebody on this machine, where the operator lets everybody in.
    Anonymous,
    /// Whoever holds this token.
    Token(Arc<Token>),
}

impl Caller {
    pub(super) fn has(&self, scope: Scope) -> bool {
        match self {
            Self::Anonymous => true,
            Self::Token(token) => token.scopes.contains(&scope),
        }
    }

    /// The tenants that the caller is confined to; none where it is not.
    pub(super) fn tenants(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => token.tenants.as_ref(),
        }
    }
}

/// All tokens, by their digests.
pub(super) struct Tokens(Vec<([u8; 32], Arc<Token>)>);

impl Tokens {
    /// Reads and checks what the operator has set.
    ///
    /// # Errors
    /// Names the token and what is wrong, never its text.
    pub(super) fn new(configs: &[TokenConfig]) -> anyhow::Result<Self> {
        let mut tokens: Vec<([u8; 32], Arc<Token>)> = Vec::with_capacity(configs.len());
        for config in configs {
            let digest =
                digest_of(config).with_context(|| format!("http.tokens: {:?}", config.name))?;
            if let Some((_, other)) = tokens.iter().find(|(known, _)| *known == digest) {
                anyhow::bail!(
                    "http.tokens: {:?} and {:?} are the same token",
                    other.name,
                    config.name
                );
            }
            anyhow::ensure!(
                config.tenants.as_ref().is_none_or(|tenants| !tenants.is_empty()),
                "http.tokens: {:?}: an empty list of tenants allows none; leave it out to allow all",
                config.name
            );
            let token = Token {
                name: config.name.clone(),
                scopes: config.scopes.clone(),
                tenants: config.tenants.clone(),
            };
            tokens.push((digest, Arc::new(token)));
        }
        Ok(Self(tokens))
    }

    /// The token with this text. Takes the same time whichever it is, and whether it is one.
    pub(super) fn find(&self, text: &[u8]) -> Option<&Arc<Token>> {
        let digest = sha256(text);
        let mut found = u64::MAX;
        for (at, (known, _)) in (0u64..).zip(&self.0) {
            let same: Choice = known.as_slice().ct_eq(digest.as_slice());
            found.conditional_assign(&at, same);
        }
        usize::try_from(found).ok().and_then(|at| self.0.get(at)).map(|(_, token)| token)
    }

    /// Every tenant that a token names.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|(_, token)| token.tenants.as_ref()).flatten()
    }
}

fn digest_of(config: &TokenConfig) -> anyhow::Result<[u8; 32]> {
    anyhow::ensure!(!config.scopes.is_empty(), "it has no scopes: append, read, admin, metrics");
    let text = match (&config.token, &config.token_sha256, &config.token_env) {
        (Some(token), None, None) => token.clone(),
        (None, Some(digest), None) => {
            let mut bytes = [0; 32];
            hex::decode_to_slice(digest, &mut bytes)
                .context("token_sha256 has 64 hexadecimal digits")?;
            return Ok(bytes);
        }
        (None, None, Some(name)) => std::env::var(name)
            .map_err(|_| anyhow::anyhow!("the environment variable {name} is not set"))?,
        _ => anyhow::bail!("give one of token, token_sha256 and token_env"),
    };
    anyhow::ensure!(
        text.len() >= LEAST_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic()),
        "a token has at least {LEAST_LENGTH} characters of ASCII, without spaces"
    );
    Ok(sha256(text.as_bytes()))
}

fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-token-of-twenty-two";

    fn config(name: &str) -> TokenConfig {
        TokenConfig {
            name: name.to_owned(),
            token: Some(format!("{SECRET}-{name}")),
            token_sha256: None,
            token_env: None,
            scopes: [Scope::Read].into(),
            tenants: None,
        }
    }

    #[test]
    fn a_token_is_found_by_its_text_or_its_digest() {
        let hashed = TokenConfig {
            token: None,
            token_sha256: Some(hex::encode(sha256(SECRET.as_bytes()))),
            ..config("hashed")
        };
        let tokens = Tokens::new(&[config("a"), hashed, config("b")]).unwrap();
        assert_eq!(tokens.find(SECRET.as_bytes()).unwrap().name, "hashed");
        assert_eq!(tokens.find(format!("{SECRET}-b").as_bytes()).unwrap().name, "b");
        assert_eq!(tokens.find(format!("{SECRET}-a").as_bytes()).unwrap().name, "a");
        assert!(tokens.find(b"").is_none());
        assert!(tokens.find(b"something else entirely").is_none());
        assert!(Tokens::new(&[]).unwrap().find(SECRET.as_bytes()).is_none());
    }

    #[test]
    fn what_makes_no_token_is_refused_without_showing_it() {
        let refused = |config: TokenConfig| {
            let error = format!("{:#}", Tokens::new(&[config]).err().unwrap());
            assert!(!error.contains(SECRET), "{error}");
            error
        };
        assert!(refused(TokenConfig { token: None, ..config("x") }).contains("one of"));
        assert!(
            refused(TokenConfig { token_env: Some("X".into()), ..config("x") }).contains("one of")
        );
        assert!(refused(TokenConfig { token: Some("short".into()), ..config("x") }).contains("16"));
        assert!(refused(TokenConfig { scopes: [].into(), ..config("x") }).contains("scopes"));
        assert!(
            refused(TokenConfig { tenants: Some([].into()), ..config("x") }).contains("tenants")
        );
        let wrong = TokenConfig { token: None, token_sha256: Some("ab".into()), ..config("x") };
        assert!(refused(wrong).contains("64"));
        assert!(Tokens::new(&[config("x"), config("x")]).is_err(), "the same token twice");
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", config("x")).contains(SECRET));
    }
}
