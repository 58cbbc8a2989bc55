//! The section `store` of the configuration.

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use scopegate_provider::{Secret, Span, UnitError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The section `store`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite://PATH`, `postgres://…` or `memory:`; a string, `{ env: NAME }` or `{ file: PATH }`.
    pub url: StoreUrl,
    /// Runs missing migrations at start; otherwise their absence is an error.
    #[serde(default = "yes")]
    pub migrate: bool,
    /// Uses PostgreSQL's LISTEN beside the poll; without it changes still arrive within a second.
    #[serde(default = "yes")]
    pub listen: bool,
    /// The most connections to PostgreSQL.
    #[serde(default = "ten")]
    pub max_connections: u32,
    /// The time without the store after which this node stops answering.
    #[serde(default)]
    pub max_staleness: MaxStaleness,
}

/// The time without the store after which a node stops answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaxStaleness {
    /// Because its scopes and routes may be old; `never` by default.
    pub policy: Tolerance,
    /// Because it may not know of revocations; 5 minutes by default.
    pub revocations: Tolerance,
}

/// A time limit: a duration, or none (`never`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// No limit.
    Unlimited,
    /// This long.
    Limited(Span),
}

/// The place of the store. Neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In memory: everything is lost at the end of the process.
    Memory,
    /// In a file of SQLite.
    Sqlite(PathBuf),
    /// In PostgreSQL, or a database that speaks its protocol.
    Postgres(url::Url),
}

impl StoreUrl {
    /// Returns `true` if several nodes can use the store.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// Errors of parsing the URL of a store. The text is not shown, as it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreUrlError {
    /// Another scheme.
    #[error("expected `sqlite://PATH`, `postgres://…` or `memory:` (what was found is not shown)")]
    Scheme,
    /// SQLite without a file.
    #[error("expected the path of a file after `sqlite://`, such as `sqlite://scopegate.db`")]
    Path,
    /// PostgreSQL with something that is no URL.
    #[error("expected a URL such as `postgres://user@host/database` (what was found is not shown)")]
    Postgres,
}

impl StoreSettings {
    /// Creates the settings of a store at `url`, all else with its default.
    pub fn new(url: StoreUrl) -> Self {
        Self {
            url,
            migrate: true,
            listen: true,
            max_connections: ten(),
            max_staleness: MaxStaleness::default(),
        }
    }
}

impl Default for MaxStaleness {
    fn default() -> Self {
        Self { policy: Tolerance::Unlimited, revocations: Tolerance::Limited(Span::from_secs(300)) }
    }
}

impl Tolerance {
    /// Returns `true` if something of this age is too old.
    pub fn is_exceeded_by(self, age: Duration) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Limited(span) => age > span.get(),
        }
    }
}

impl FromStr for Tolerance {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "never" { Ok(Self::Unlimited) } else { text.parse().map(Self::Limited) }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("never"),
            Self::Limited(span) => fmt::Display::fmt(span, f),
        }
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Tolerance {
    fn schema_name() -> Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(never|[0-9]+(ms|s|m|h|d))$" })
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;
    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_file = !path.is_empty() && !path.starts_with(':') && !path.contains('?');
            return if is_file { Ok(Self::Sqlite(path.into())) } else { Err(StoreUrlError::Path) };
        }
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err(StoreUrlError::Scheme);
        }
        url::Url::parse(text).map(Self::Postgres).map_err(|_| StoreUrlError::Postgres)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            // Only host, port and database: the user's part and the query may hold a password.
            Self::Postgres(url) => {
                let by_query = url.query_pairs().find(|(key, _)| matches!(&**key, "host" | "hostaddr"));
                match by_query {
                    Some((_, host)) => write!(f, "postgres://{host}")?,
                    None => write!(f, "postgres://{}", url.host_str().unwrap_or_default())?,
                }
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer)?.reveal().parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for StoreUrl {
    fn schema_name() -> Cow<'static, str> {
        "StoreUrl".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Secret::json_schema(generator)
    }
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn invariant_11_a_password_in_the_url_is_in_no_text() {
        let url: StoreUrl =
            "postgres://gate:hunter2@db.example:5433/gate?password=hunter3&sslmode=require".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://db.example:5433/gate");
        assert_eq!(format!("{url:?}"), "StoreUrl(postgres://db.example:5433/gate)");
    }

    #[test]
    fn an_unknown_scheme_is_refused_without_showing_the_url() {
        let error = "mysql://gate:hunter2@db/gate".parse::<StoreUrl>().unwrap_err();
        assert_eq!(error, StoreUrlError::Scheme);
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_path_may_be_relative_or_absolute() {
        assert_eq!("sqlite://gate.db".parse(), Ok(StoreUrl::Sqlite("gate.db".into())));
        assert_eq!("sqlite:///var/gate.db".parse(), Ok(StoreUrl::Sqlite("/var/gate.db".into())));
        assert_eq!("sqlite:gate.db".parse(), Ok(StoreUrl::Sqlite("gate.db".into())));
        assert_eq!("sqlite://".parse::<StoreUrl>(), Err(StoreUrlError::Path));
        assert_eq!("sqlite::memory:".parse::<StoreUrl>(), Err(StoreUrlError::Path));
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings: StoreSettings = serde_json::from_value(json!({ "url": "memory:" })).unwrap();
        assert!(settings.migrate && settings.listen && settings.max_connections == 10);
        assert_eq!(settings.max_staleness.policy, Tolerance::Unlimited);
        assert_eq!(settings.max_staleness.revocations, Tolerance::Limited(Span::from_secs(300)));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let settings = json!({ "url": "memory:", "max_connection": 3 });
        let error = serde_json::from_value::<StoreSettings>(settings).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `max_connection`"), "{error}");
    }

    #[test]
    fn never_is_a_tolerance() {
        let settings =
            json!({ "url": "memory:", "max_staleness": { "revocations": "never", "policy": "30s" } });
        let staleness = serde_json::from_value::<StoreSettings>(settings).unwrap().max_staleness;
        assert!(!staleness.revocations.is_exceeded_by(Duration::MAX));
        assert!(staleness.policy.is_exceeded_by(Duration::from_secs(31)));
        assert!(!staleness.policy.is_exceeded_by(Duration::from_secs(30)));
    }
}
