//! The share of the server that one peer may use.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

/// The share of all connections of one peer together.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Decoded bytes of the heads of HTTP/2 requests in flight. Of an HTTP/1.1 connection there is one at a time.
    pub(super) head_bytes: AtomicUsize,
    unfinished_bodies: AtomicU32,
}

/// A request body that has not ended.
#[derive(Debug)]
pub(super) struct UnfinishedBody(Arc<Peer>);

/// The addresses that count as one peer: an IPv4 address, or an IPv6 network of 64 bits, which is what one host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PeerAddress(IpAddr);

impl Peer {
    /// Counts a request body; none if the peer has `limit` of them.
    pub(super) fn begin_body(self: &Arc<Self>, limit: u32) -> Option<UnfinishedBody> {
        let body = UnfinishedBody(Arc::clone(self));
        (self.unfinished_bodies.fetch_add(1, Relaxed) < limit).then_some(body)
    }
}

impl Drop for UnfinishedBody {
    fn drop(&mut self) {
        self.0.unfinished_bodies.fetch_sub(1, Relaxed);
    }
}

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> PeerAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    /// A2: a host with an IPv6 network of its own is one peer, whichever of its addresses it connects from.
    #[test]
    fn an_ipv6_network_is_one_peer() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_same_peer() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.2"), address("192.0.2.1"));
    }

    #[test]
    fn a_body_counts_until_it_is_dropped() {
        let peer = Arc::new(Peer::default());
        let first = peer.begin_body(1);
        assert!(first.is_some() && peer.begin_body(1).is_none());
        drop(first);
        assert!(peer.begin_body(1).is_some());
    }
}
