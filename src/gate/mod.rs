//! The gate: it authorizes each request and admits or refuses it.
//!
//! `authorize` is the one decision. It reads a `request`, uses the `state`
//! of policy and providers, and returns a `decision`. The fronts present requests to it; `identity`
//! prepares the headers and tokens that services behind the gate receive.

mod authorize;
mod cors;
mod decision;
pub mod definitions;
mod effective_policy;
mod fronts;
mod identity;
mod request;
mod resources;
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
    effective_policy::{EffectivePolicy, effective_policy},
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
    resources::{PublicOrigin, RESOURCE_METADATA, Resource, ResourceUrl, ResourceUrlError, Resources},
    state::{Gate, GateSettings, State},
};
#[cfg(feature = "server")]
pub(crate) use self::{
    fronts::middleware::check_form,
    identity::identities,
    request::site::is_same_origin,
    resources::{Asked, Document, asked_path},
    state::Called,
};

#[cfg(test)]
mod tests;
