//! The section `telemetry` of the configuration.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scopegate_provider::{Secret, Span};
use serde::{Deserialize, Deserializer, de};
use tracing::level_filters::LevelFilter;
use url::Url;

/// `telemetry:`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Settings of the log, which is written to standard error.
    pub log: LogSettings,
    /// Settings of the records of changes and denials.
    pub audit: AuditSettings,
    /// Settings of the traces.
    pub traces: TracesSettings,
}

/// `telemetry.log:`
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The level: `error`, `warn`, `info`, `debug`, `trace`, or by module as in `info,scopegate_oidc=debug`.
    pub level: LogLevel,
    /// The format: for people or for machines.
    pub format: LogFormat,
    /// The caller's identity in the lines about refusals.
    pub identify: Identify,
}

/// `telemetry.audit:`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The time for which audit records are kept.
    pub retention: Span,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { retention: Span::from_secs(30 * 24 * 60 * 60) }
    }
}

/// `telemetry.traces:`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesSettings {
    /// The URL of the collector, such as `http://collector:4317`. Without it nothing is exported.
    pub endpoint: Option<TracesEndpoint>,
    /// The protocol of the collector.
    pub protocol: TracesProtocol,
    /// The share of traces that are exported, where no trusted proxy decides: 0 to 1.
    pub sample: SampleRatio,
    /// Headers of requests to the collector, such as a token.
    pub headers: BTreeMap<String, Secret>,
}

/// The protocol of a collector of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TracesProtocol {
    /// OTLP over gRPC, usually at port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP, as Protocol Buffers, usually at port 4318. `/v1/traces` is added where the endpoint has no path.
    Http,
}

/// The URL of a collector: `http` or `https`, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracesEndpoint(Url);

impl TracesEndpoint {
    /// Returns the URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TracesEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let url = Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
        });
        url.map(Self).ok_or_else(|| {
            de::Error::custom("expected the URL of a collector such as `http://collector:4317`, without credentials or query")
        })
    }
}

impl JsonSchema for TracesEndpoint {
    fn schema_name() -> Cow<'static, str> {
        "TracesEndpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }
}

/// A share of traces: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio(f64);

impl SampleRatio {
    /// Returns the share.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for SampleRatio {
    /// Every trace.
    fn default() -> Self {
        Self(1.0)
    }
}

impl<'de> Deserialize<'de> for SampleRatio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match f64::deserialize(deserializer)? {
            ratio if (0.0..=1.0).contains(&ratio) => Ok(Self(ratio)),
            ratio => {
                Err(de::Error::custom(format!("expected a share of 0 to 1, such as 0.01, found {ratio}")))
            }
        }
    }
}

impl JsonSchema for SampleRatio {
    fn schema_name() -> Cow<'static, str> {
        "SampleRatio".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people, coloured on a terminal.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The caller's identity in the log: of a token that was verified, even if it was refused afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Identify {
    /// The client of the token.
    #[default]
    Client,
    /// The client and the subject of the token.
    Subject,
    /// Neither.
    None,
}

/// The level of the log: of everything, and of single modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel {
    pub(super) general: Option<LevelFilter>,
    pub(super) modules: Vec<(String, LevelFilter)>,
}

/// A string that is not a log level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a log level (`error`, `warn`, `info`, `debug`, `trace`) or levels by module such as `info,scopegate_oidc=debug`, found `{found}`"
)]
pub struct LogLevelError {
    found: String,
}

impl LogLevel {
    /// Parses a level, or levels by module with commas between them.
    ///
    /// # Errors
    /// [`LogLevelError`] says what may be written.
    pub fn parse(text: &str) -> Result<Self, LogLevelError> {
        let wrong = || LogLevelError { found: text.to_owned() };
        let mut levels = Self { general: None, modules: Vec::new() };
        for part in text.split(',') {
            match part.rsplit_once('=') {
                None => levels.general = Some(level(part).ok_or_else(wrong)?),
                Some((module, part)) if is_module(module) => {
                    levels.modules.push((module.to_owned(), level(part).ok_or_else(wrong)?));
                }
                Some(_) => return Err(wrong()),
            }
        }
        Ok(levels)
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    Some(match text {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

fn is_module(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

impl Default for LogLevel {
    fn default() -> Self {
        // What poem's own server says at `info` is said by the greeting already.
        Self { general: Some(LevelFilter::INFO), modules: vec![("poem".to_owned(), LevelFilter::WARN)] }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for LogLevel {
    fn schema_name() -> Cow<'static, str> {
        "LogLevel".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "default": "info", "examples": ["info", "debug", "info,scopegate_oidc=debug"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_may_be_given_by_module() {
        let levels = LogLevel::parse("info,scopegate_oidc=debug").unwrap();
        assert_eq!(levels.general, Some(LevelFilter::INFO));
        assert_eq!(levels.modules, [("scopegate_oidc".to_owned(), LevelFilter::DEBUG)]);
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
        let error = LogLevel::parse("verbose").unwrap_err().to_string();
        assert!(error.contains("`debug`") && error.contains("`verbose`"), "{error}");
    }
}
