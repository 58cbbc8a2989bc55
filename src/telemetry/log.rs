//! The log: settings and set-up.

use std::{borrow::Cow, io::IsTerminal};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scopegate_provider::Span;
use serde::{Deserialize, Deserializer, de};
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError,
};

/// `telemetry:`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What is logged, to standard error.
    pub log: LogSettings,
    /// What is kept of changes and denials.
    pub audit: AuditSettings,
}

/// `telemetry.log:`
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How much: `error`, `warn`, `info`, `debug`, `trace`, or by module as in `info,scopegate_oidc=debug`.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
}

/// `telemetry.audit:`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// How long audit records are kept.
    pub retention: Span,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { retention: Span::from_secs(30 * 24 * 60 * 60) }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people, coloured on a terminal.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLevel(Targets);

/// Why a string is no log level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a log level (`error`, `warn`, `info`, `debug`, `trace`) or levels by module such as `info,scopegate_oidc=debug`, found `{found}`"
)]
pub struct LogLevelError {
    found: String,
}

impl LogLevel {
    /// Parses a level.
    ///
    /// # Errors
    /// [`LogLevelError`] says what may be written.
    pub fn parse(text: &str) -> Result<Self, LogLevelError> {
        let known = |part: &str| matches!(part, "error" | "warn" | "info" | "debug" | "trace" | "off");
        let level_of =
            |directive: &str| directive.rsplit_once('=').map_or_else(|| known(directive), |(_, l)| known(l));
        let targets = text.parse::<Targets>().ok().filter(|_| text.split(',').all(level_of));
        targets.map(Self).ok_or_else(|| LogLevelError { found: text.to_owned() })
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        // What poem's own server says at `info` is said by the greeting already.
        Self(Targets::new().with_default(tracing::Level::INFO).with_target("poem", tracing::Level::WARN))
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

/// The process has a log already.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already: {0}")]
pub struct TelemetryError(#[from] TryInitError);

impl LogSettings {
    /// Sets up the log of the process, once.
    ///
    /// # Errors
    /// [`TelemetryError`] at the second call.
    pub fn start(&self) -> Result<(), TelemetryError> {
        let registry = tracing_subscriber::registry().with(self.level.0.clone());
        match self.format {
            LogFormat::Json => {
                registry
                    .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
                    .try_init()?;
            }
            LogFormat::Text => {
                let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                registry.with(fmt::layer().with_ansi(colour).with_writer(std::io::stderr)).try_init()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_may_be_given_by_module() {
        assert!(LogLevel::parse("info,scopegate_oidc=debug").is_ok());
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
        let error = LogLevel::parse("verbose").unwrap_err().to_string();
        assert!(error.contains("`debug`") && error.contains("`verbose`"), "{error}");
    }
}
