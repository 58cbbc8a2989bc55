//! A network in CIDR notation.

use std::{fmt, net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network in CIDR notation, such as `10.42.0.0/16`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["10.42.0.0/16", "127.0.0.1"]))]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A string that is not a network which may be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// Everybody, or half of everybody.
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
        address.is_ipv4() == self.address.is_ipv4() && first_address(address, self.prefix) == self.address
    }
}

fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let notation = || NetworkError::Notation { found: text.to_owned() };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| notation())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let number =
            |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let prefix: Option<u8> = prefix.map_or(Some(longest), number);
        let prefix = prefix.filter(|prefix| *prefix <= longest).ok_or_else(notation)?;
        let first = first_address(address, prefix);
        if first != address {
            return Err(NetworkError::HostBits { network: format!("{first}/{prefix}") });
        }
        let network = canonical(first, prefix);
        // Two halves would be everybody too.
        if network.prefix <= 1 {
            return Err(NetworkError::Everybody { found: text.to_owned() });
        }
        Ok(network)
    }
}

/// An IPv4 network in IPv6 notation is the IPv4 network.
fn canonical(address: IpAddr, prefix: u8) -> Network {
    match prefix.checked_sub(96) {
        Some(shorter) if address.is_ipv6() && address.to_canonical().is_ipv4() => {
            Network { address: address.to_canonical(), prefix: shorter }
        }
        _ => Network { address, prefix },
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
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
