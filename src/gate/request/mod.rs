//! The request as the gate reads it: its target, its token, and the proxy that forwarded it.

pub(super) mod bearer;
pub(super) mod head;
pub(super) mod subprotocol;
pub(in crate::gate) mod trust;
pub(super) mod upgrade;
