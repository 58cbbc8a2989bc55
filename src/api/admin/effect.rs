//! The effect that a change would have, for `dry_run=true`: the requests and streams that depend on the tokens which the
//! change refuses, as far as this node has seen them.

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem_openapi::Object;
use scopegate_provider::{BearerToken, Principal, ProviderName};
use serde_json::Value;

use super::{Admin, Rights};
use crate::{
    store::{NewRevocation, RevocationKey, TokenHash},
    telemetry::DecisionRecord,
};

/// The time over which requests are counted.
const HOUR: Duration = Duration::from_hours(1);

/// The effect of a change on callers of this node.
#[derive(Object, Debug, serde::Serialize)]
pub(super) struct Effect {
    /// The requests of the last hour that the change would refuse; left out where the node does not remember by what the
    /// change matches tokens.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_1h: Option<u64>,
    /// The addresses that these requests came from; left out where they are not remembered.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<usize>,
    /// The open streams that it would end.
    streams: u64,
    /// `true` if it would end the session of the caller.
    own_session: bool,
}

/// A change that refuses tokens.
pub(super) enum Change<'a> {
    /// A revocation.
    Revoke(&'a NewRevocation),
    /// All tokens of a provider.
    Disable(&'a ProviderName),
    /// All tokens of a provider that this key signed.
    Distrust(&'a ProviderName, &'a str),
}

impl Admin {
    /// Returns the effect that a change would have. `principal` and `rights` are those of the caller.
    pub(super) fn effect(&self, principal: &Principal, rights: &Rights, change: &Change<'_>) -> Effect {
        let status = self.node.status();
        let holders = status.metrics.streams.holders();
        let cut =
            holders.iter().filter(|holder| change.refuses(&holder.principal, &holder.credentials.token));
        let streams = u64::try_from(cut.count()).unwrap_or(u64::MAX);
        let own = rights.token.as_ref();
        let (requests_1h, addresses) = self.requests(change);
        Effect {
            requests_1h,
            addresses,
            streams,
            own_session: own.is_some_and(|token| change.refuses(principal, token)),
        }
    }

    /// Returns the requests of the last hour that the change would refuse, and the number of addresses that they came from.
    fn requests(&self, change: &Change<'_>) -> (Option<u64>, Option<usize>) {
        let metrics = self.node.status().metrics;
        if let Change::Disable(name) = change {
            let hour = metrics.live.last_hour(&metrics);
            let requests = hour.providers.get(*name).map_or(0, |totals| totals.permitted + totals.denied);
            return (Some(requests), None);
        }
        let Change::Revoke(record) = change else { return (None, None) };
        if !matches!(record.key, RevocationKey::Client(_) | RevocationKey::Subject(_)) {
            return (None, None);
        }
        let now = self.now();
        let recent = metrics.live.recent();
        let refused =
            recent.iter().filter(|seen| now.since(seen.at) < HOUR && is_remembered_as(seen, record));
        let peers: Vec<&str> = refused.map(|seen| seen.peer.as_str()).collect();
        let addresses: HashSet<&str> = peers.iter().copied().collect();
        (u64::try_from(peers.len()).ok(), Some(addresses.len()))
    }
}

/// Returns `true` if a remembered decision is about a token of the client or subject that is to be revoked.
fn is_remembered_as(seen: &DecisionRecord, record: &NewRevocation) -> bool {
    let matches = match &record.key {
        RevocationKey::Client(client) => seen.client.as_ref() == Some(client),
        RevocationKey::Subject(subject) => seen.subject.as_ref() == Some(subject),
        _ => false,
    };
    matches && seen.provider.as_ref() == Some(&record.provider)
}

impl Change<'_> {
    /// Returns `true` if the change refuses a token.
    fn refuses(&self, principal: &Principal, token: &BearerToken) -> bool {
        match self {
            Self::Revoke(record) => revokes(record, principal, token),
            Self::Disable(provider) => principal.provider() == *provider,
            Self::Distrust(provider, kid) => {
                principal.provider() == *provider && key_id(token).is_some_and(|own| own == *kid)
            }
        }
    }
}

fn revokes(record: &NewRevocation, principal: &Principal, token: &BearerToken) -> bool {
    let matches = match &record.key {
        RevocationKey::TokenId(id) => principal.token_id() == Some(id),
        RevocationKey::Session(session) => principal.session() == Some(session),
        RevocationKey::Subject(subject) => principal.subject() == Some(subject),
        RevocationKey::Client(client) => principal.client() == Some(client),
        RevocationKey::Actor(actor) => principal.actor().is_some_and(|own| *own.id == *actor.as_str()),
        RevocationKey::TokenHash(hash) => TokenHash::of(token) == *hash,
    };
    let in_time = record.key.is_one_token()
        || principal.issued_at().is_none_or(|issued_at| issued_at <= record.issued_before);
    *principal.provider() == record.provider && matches && in_time
}

/// Returns the `kid` in the header of a verified JWT.
fn key_id(token: &BearerToken) -> Option<String> {
    let (header, _) = token.reveal().split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    header.get("kid")?.as_str().map(str::to_owned)
}
