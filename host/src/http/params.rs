//! The parameters after the `?`: strict, because one that is misspelt would be left out in silence.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::problem::Problem;
use super::state::Api;

/// The parameters of a request, in their order.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl FromRequestParts<Api> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    fn parse(query: &str) -> Result<Self, Problem> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let text = percent_decode_str(&text).decode_utf8().map_err(|_| {
                Problem::invalid("a parameter after the `?` is not UTF-8, percent-encoded")
            })?;
            if text.contains('\0') {
                return Err(Problem::invalid("a parameter after the `?` holds NUL"));
            }
            Ok(text.into_owned())
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// All of them.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.0
    }

    /// Refuses a parameter that is not one of these.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => Err(Problem::invalid(format!(
                "there is no parameter {name:?} here; there are: {}",
                names.join(", ")
            ))),
        }
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::invalid(format!("the parameter {name} is there more than once")));
        }
        Ok(value.map(String::as_str))
    }

    /// All values of a parameter that may be given many times.
    pub(super) fn many(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
    }

    /// A value that says by itself what it may be.
    pub(super) fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let parse =
            |text: &str| text.parse().map_err(|error| Problem::invalid(format!("{name}: {error}")));
        self.one(name)?.map(parse).transpose()
    }

    /// A time as RFC 3339 writes it.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Problem::invalid(format!("{name} is a time (RFC 3339)")))
        };
        self.one(name)?.map(parse).transpose()
    }

    /// A whole number from `least` to `greatest`.
    pub(super) fn number<N>(&self, name: &str, least: N, greatest: N) -> Result<Option<N>, Problem>
    where
        N: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match text.parse::<N>() {
            Ok(number) if number >= least && number <= greatest => Ok(Some(number)),
            _ => Err(Problem::invalid(format!(
                "{name} is a whole number from {least} to {greatest}"
            ))),
        }
    }
}

impl Params {
    /// Whether dismissed events are asked for, too.
    pub(super) fn dismissed(&self) -> Result<bool, Problem> {
        match self.one("dismissed")? {
            None | Some("excluded") => Ok(false),
            Some("included") => Ok(true),
            Some(_) => Err(Problem::invalid("dismissed is `excluded` or `included`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_misspelt_ones_refused() {
        let params = Params::parse("type=A&type=B%20%26&limit=5&empty&x=a+b").unwrap();
        assert_eq!(params.many("type"), ["A", "B &"]);
        assert_eq!(params.number("limit", 1, 10).unwrap(), Some(5));
        assert_eq!(params.number::<i64>("after", 0, i64::MAX).unwrap(), None);
        assert_eq!(params.one("empty").unwrap(), Some(""));
        assert_eq!(params.one("x").unwrap(), Some("a b"));
        assert!(params.one("type").is_err());
        assert!(params.number("limit", 6, 10).is_err());
        assert!(params.only(&["type", "limit", "empty", "x"]).is_ok());
        assert!(params.only(&["type", "limit", "empty"]).is_err());
        assert!(Params::parse("a=%ff").is_err());
        assert!(Params::parse("a=%00").is_err());
        for number in ["-1", "1.5", "", "99999999999999999999", "0x1"] {
            let params = Params::parse(&format!("n={number}")).unwrap();
            assert!(params.number::<i64>("n", 0, i64::MAX).is_err(), "{number}");
        }
    }
}
