//! Addresses of listeners, as they are written in a configuration.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080` or `unix:/run/scopegate.sock`.
///
/// ```
/// use scopegate::server::Listen;
///
/// assert!("127.0.0.1:8080".parse::<Listen>()?.is_loopback());
/// assert!("8080".parse::<Listen>().is_err());
/// # Ok::<(), scopegate::server::ListenError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix-domain socket's path; its peers are trusted like `trusted_proxies`.
    Unix(PathBuf),
}

/// Errors of a string that is not an address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Neither an address with a port nor a socket's path.
    #[error(
        "expected an address and port such as `127.0.0.1:8080` or `[::]:8080`, or `unix:/path/to/socket`, found `{found}`"
    )]
    Address {
        /// The string.
        found: String,
    },
    /// A relative path, which would mean another socket in each working directory.
    #[error("expected an absolute path after `unix:`, found `{found}`")]
    RelativePath {
        /// The string.
        found: String,
    },
}

impl Listen {
    /// Returns a loopback address with a port that the system chooses.
    pub const fn any_loopback_port() -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// Returns `true` if only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Returns `true` if both cannot be bound: one socket, or one port on one address or on all.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => one == other,
            (Self::Tcp(one), Self::Tcp(other)) => {
                let same_host = one.ip().to_canonical() == other.ip().to_canonical();
                let all = one.ip().is_unspecified() || other.ip().is_unspecified();
                one.port() != 0 && one.port() == other.port() && (same_host || all)
            }
            (Self::Unix(_), Self::Tcp(_)) | (Self::Tcp(_), Self::Unix(_)) => false,
        }
    }
}

/// Returns the address to connect to: loopback for a listener on all addresses.
pub(crate) fn reachable_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl FromStr for Listen {
    type Err = ListenError;
    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(ListenError::RelativePath { found: text.to_owned() });
            }
            return Ok(Self::Unix(path.into()));
        }
        let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let parsed = address.as_deref().unwrap_or(text).parse();
        parsed.map(Self::Tcp).map_err(|_| ListenError::Address { found: text.to_owned() })
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;
    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (listening, reachable) in
            [("0.0.0.0:9", "127.0.0.1:9"), ("[::]:9", "[::1]:9"), ("10.0.0.1:9", "10.0.0.1:9")]
        {
            assert_eq!(reachable_address(listening.parse().unwrap()), reachable.parse().unwrap());
        }
    }

    #[test]
    fn an_address_without_a_port_is_refused_with_examples() {
        let error = "0.0.0.0".parse::<Listen>().unwrap_err();
        assert_eq!(error, ListenError::Address { found: "0.0.0.0".into() });
        assert!(error.to_string().contains("`127.0.0.1:8080`"));
    }

    #[test]
    fn a_relative_socket_path_is_refused() {
        let refused = "unix:run/s".parse::<Listen>();
        assert_eq!(refused, Err(ListenError::RelativePath { found: "unix:run/s".into() }));
    }

    #[test]
    fn an_address_parses_as_it_is_displayed() {
        for text in ["127.0.0.1:8080", "[::1]:9090", "unix:/run/scopegate.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_ipv4_loopback_address_written_as_ipv6_is_loopback() {
        assert!("[::ffff:127.0.0.1]:1".parse::<Listen>().unwrap().is_loopback());
        assert!(!"[::]:1".parse::<Listen>().unwrap().is_loopback());
    }
}
