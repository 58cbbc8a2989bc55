//! Where the issuer may listen.

use std::{fmt, net::SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::SettingsError;

/// An address of loopback and a port; nothing else can be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackAddress(SocketAddr);

impl LoopbackAddress {
    /// Any free port of 127.0.0.1.
    pub const ANY_PORT: LoopbackAddress =
        LoopbackAddress(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0));

    /// Takes an address that only this machine can reach.
    ///
    /// # Errors
    /// [`SettingsError::NotLoopback`].
    pub fn new(address: SocketAddr) -> Result<Self, SettingsError> {
        if address.ip().to_canonical().is_loopback() {
            return Ok(Self(address));
        }
        Err(SettingsError::NotLoopback { found: address.to_string() })
    }

    /// Parses `127.0.0.1:PORT` or `[::1]:PORT`.
    ///
    /// # Errors
    /// [`SettingsError::NotLoopback`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let address = text.parse().map_err(|_| SettingsError::NotLoopback { found: text.to_owned() })?;
        Self::new(address)
    }

    /// The address.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl Default for LoopbackAddress {
    /// 127.0.0.1:9400.
    fn default() -> Self {
        Self(SocketAddr::new(Self::ANY_PORT.0.ip(), 9400))
    }
}

impl fmt::Display for LoopbackAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for LoopbackAddress {
    type Err = SettingsError;
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for LoopbackAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for LoopbackAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LoopbackAddress".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(127\\.[0-9.]+|\\[::1\\]):[0-9]+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_refused_at_parsing() {
        for address in ["0.0.0.0:9400", "192.168.0.1:9400", "[::]:9400", "localhost:9400", "10.0.0.1:1"] {
            let refused = LoopbackAddress::parse(address);
            assert_eq!(refused, Err(SettingsError::NotLoopback { found: address.to_owned() }));
        }
    }

    #[test]
    fn every_address_of_loopback_is_taken() {
        for address in ["127.0.0.1:0", "127.8.9.10:9400", "[::1]:9400", "[::ffff:127.0.0.1]:9400"] {
            assert_eq!(LoopbackAddress::parse(address).unwrap().to_string(), address);
        }
    }
}
