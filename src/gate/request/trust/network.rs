//! A network in CIDR notation.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network in CIDR notation, such as `10.42.0.0/16`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["10.42.0.0/16", "127.0.0.1"]))]
pub struct Network(IpNet);

/// Errors of parsing a network that may be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not CIDR notation.
    #[error("expected a network such as `10.42.0.0/16` or an address such as `127.0.0.1`, found `{found}`")]
    Notation {
        /// The text that was found.
        found: String,
    },
    /// Bits behind the prefix are set.
    #[error("expected the network's first address: write `{network}`, or a longer prefix")]
    HostBits {
        /// The spelling of the whole network.
        network: String,
    },
    /// The network holds every address, or half of all.
    #[error(
        "`{found}` is everybody: any caller could then say for itself who it is and what it asks for; name the networks of your proxies"
    )]
    Everybody {
        /// The text that was found.
        found: String,
    },
}

impl Network {
    /// Returns `true` if an address, in its canonical form, is in the network.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| NetworkError::Notation { found: text.to_owned() })?;
        if network.trunc() != network {
            return Err(NetworkError::HostBits { network: network.trunc().to_string() });
        }
        // An IPv4 network in IPv6 notation is the IPv4 network.
        let mapped = match network {
            IpNet::V6(v6) => v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
            IpNet::V4(_) => None,
        };
        let ipv4 = mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
        let network = ipv4.map_or(network, IpNet::V4);
        // Two halves would be everybody too.
        if network.prefix_len() <= 1 {
            return Err(NetworkError::Everybody { found: text.to_owned() });
        }
        Ok(Self(network))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
