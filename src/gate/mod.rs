//! The gate: it authorizes each request and admits or refuses it.
//!
//! [`authorize`](self::authorize) is the one decision. It reads a [request](self::request), uses the [state](self::state)
//! of policy and providers, and returns a [decision](self::decision). The fronts present requests to it; `identity`
//! prepares the headers and tokens that services behind the gate receive.

mod authorize;
mod cors;
mod decision;
pub mod definitions;
mod fit;
mod fronts;
mod identity;
mod request;
pub(crate) mod resources;
mod state;

#[cfg(feature = "tower")]
pub use self::fronts::tower;
#[cfg(feature = "server")]
pub use self::fronts::{forward_auth, proxy};
#[cfg(feature = "server")]
pub(crate) use self::request::trust::peer_scheme;
pub use self::{
    cors::Cors,
    decision::{Permit, Refusal},
    fit::{Fitted, fit},
    fronts::{
        extract::{Caller, Principal},
        guard::{Guard, GuardEndpoint},
        middleware::GateEndpoint,
    },
    identity::{
        headers::{IdentityError, IdentityHeaders, Stripped},
        mint,
    },
    request::{
        token::{BearerError, bearer},
        trust::{ForwardedError, Network, NetworkError, Origin, TrustedProxies},
    },
    state::{Gate, GateSettings, State},
};
#[cfg(feature = "server")]
pub(crate) use self::{fronts::middleware::check_form, identity::identities};

#[cfg(test)]
mod tests;
