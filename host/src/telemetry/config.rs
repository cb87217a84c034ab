//! Where traces go: settings, and the variables of OpenTelemetry where these are silent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

/// Traces for a collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The collector, such as `http://127.0.0.1:4318`: OTLP over HTTP, to its path `/v1/traces`. Without it
    /// there are no traces, unless `OTEL_EXPORTER_OTLP_ENDPOINT` says where to; empty: none anyway.
    pub otlp: Option<String>,
    /// This part of the traces that begin here is recorded, from 0 to 1. Whether one that comes from outside
    /// is, who began it has decided.
    pub sample: f64,
    /// What the traces name this program.
    pub service_name: Option<String>,
    /// Headers of the requests to the collector, such as a token. They are never shown.
    pub headers: Headers,
    /// How long the collector may take to answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: None,
            sample: 1.0,
            service_name: None,
            headers: Headers::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Headers whose values are secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, String>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| (name, "…")))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "…"))).finish()
    }
}

/// Settings of traces that are wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTelemetry {
    /// The address of the collector is none.
    #[error("{0} is not the address of a collector, such as http://127.0.0.1:4318")]
    Endpoint(&'static str),
    /// The sample is no part.
    #[error("telemetry.sample is from 0 to 1, and this is {0}")]
    Sample(f64),
    /// A header that can't be sent.
    #[error(
        "the header `{0}` of telemetry.headers, or of OTEL_EXPORTER_OTLP_HEADERS, can't be sent"
    )]
    Header(String),
    /// TLS can't be set up.
    #[error("traces can't be sent: {0}")]
    Tls(String),
}

/// Where traces are sent, and with what.
#[derive(Debug)]
pub(super) struct Target {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub timeout: Duration,
}

impl TelemetryConfig {
    /// Where traces go; nothing, where there are none.
    pub(super) fn target(&self) -> Result<Option<Target>, InvalidTelemetry> {
        self.target_in(&|name| std::env::var(name).ok())
    }

    fn target_in(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Target>, InvalidTelemetry> {
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(InvalidTelemetry::Sample(self.sample));
        }
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let whole = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let (name, address) = if let Some(own) = &self.otlp {
            ("telemetry.otlp", own.trim().to_owned())
        } else if set("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|it| it.trim() != "otlp")
        {
            return Ok(None);
        } else if let Some(address) = set(whole) {
            (whole, address)
        } else if let Some(address) = set(base) {
            (base, address)
        } else {
            return Ok(None);
        };
        if address.is_empty() {
            return Ok(None);
        }
        let address = match name == whole {
            true => address,
            false => format!("{}/v1/traces", address.trim_end_matches('/')),
        };
        let is_collector =
            |uri: &Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"));
        let uri: Option<Uri> = address.parse().ok().filter(is_collector);
        if self.otlp.is_none() {
            // The variables are meant for many programs, some of which speak otherwise.
            let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
                .or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"))
                .filter(|protocol| protocol.trim() != "http/protobuf");
            if uri.is_none() || protocol.is_some() {
                tracing::warn!(
                    "no traces are sent: {name} and OTEL_EXPORTER_OTLP_PROTOCOL do not lead to a collector that \
                     takes http/protobuf, such as http://127.0.0.1:4318; the setting telemetry.otlp does without \
                     them"
                );
                return Ok(None);
            }
        }
        let uri = uri.ok_or(InvalidTelemetry::Endpoint(name))?;
        let mut headers = HeaderMap::new();
        let of_environment =
            set("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS"));
        for pair in of_environment.iter().flat_map(|all| all.split(',')) {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            if let Err(error) = add(&mut headers, name.trim(), &value) {
                tracing::warn!(%error, "it is left out");
            }
        }
        for (name, value) in &self.headers.0 {
            add(&mut headers, name, value)?;
        }
        Ok(Some(Target { uri, headers, timeout: self.timeout }))
    }
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), InvalidTelemetry> {
    let invalid = || InvalidTelemetry::Header(name.to_owned());
    let key = HeaderName::try_from(name).map_err(|_| invalid())?;
    let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(
        config: &TelemetryConfig,
        variables: &[(&str, &str)],
    ) -> Result<Option<Target>, InvalidTelemetry> {
        config.target_in(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn uri(otlp: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let config = TelemetryConfig { otlp: otlp.map(str::to_owned), ..Default::default() };
        target(&config, variables).unwrap().map(|target| target.uri.to_string())
    }

    #[test]
    fn settings_win_over_the_variables_of_opentelemetry() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://of-all:4318/");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://of-traces/path");
        let off = ("OTEL_SDK_DISABLED", "true");
        assert_eq!(uri(None, &[]), None);
        assert_eq!(uri(None, &[base]).unwrap(), "http://of-all:4318/v1/traces");
        assert_eq!(uri(None, &[base, traces]).unwrap(), "http://of-traces/path");
        assert_eq!(uri(None, &[base, off]), None);
        assert_eq!(uri(None, &[base, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(uri(None, &[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), None);
        assert_eq!(uri(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]), None);
        assert_eq!(
            uri(Some("http://own:1"), &[base, traces, off]).unwrap(),
            "http://own:1/v1/traces"
        );
        assert_eq!(uri(Some(""), &[base]), None);
    }

    #[test]
    fn what_is_wrong_is_said_and_secrets_are_not() {
        for wrong in ["collector:4318", "ftp://collector", "http://", "http://a b"] {
            let config = TelemetryConfig { otlp: Some(wrong.to_owned()), ..Default::default() };
            let error = target(&config, &[]).unwrap_err().to_string();
            assert!(error.starts_with("telemetry.otlp"), "{wrong}: {error}");
        }
        for sample in [-0.1, 1.1, f64::NAN] {
            let config = TelemetryConfig { sample, ..Default::default() };
            assert!(matches!(target(&config, &[]), Err(InvalidTelemetry::Sample(_))), "{sample}");
        }
        let headers = BTreeMap::from([("x-token".to_owned(), "hunter2\n".to_owned())]);
        let otlp = Some("http://c".to_owned());
        let config = TelemetryConfig { otlp, headers: Headers(headers), ..Default::default() };
        let error = target(&config, &[]).unwrap_err();
        assert!(error.to_string().contains("x-token"), "{error}");
        assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"));
    }

    #[test]
    fn headers_of_the_environment_are_decoded_and_settings_win() {
        let headers = BTreeMap::from([("a".to_owned(), "own".to_owned())]);
        let otlp = Some("http://c".to_owned());
        let config = TelemetryConfig { otlp, headers: Headers(headers), ..Default::default() };
        let variables = [("OTEL_EXPORTER_OTLP_HEADERS", "a=theirs, b=Basic%20x%3D,nonsense")];
        let target = target(&config, &variables).unwrap().unwrap();
        assert_eq!(target.headers["a"], "own");
        assert_eq!(target.headers["b"], "Basic x=");
        assert!(!format!("{target:?}").contains("Basic"));
    }
}
