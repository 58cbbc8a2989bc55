//! Remembered decisions as records that can be replayed.

use scopegate_provider::{ClaimPath, Span};

use super::{Admin, rfc3339};
use crate::{
    policy::{
        SupposedCaller,
        replay::{RecordedDecision, RecordedOutcome, RecordedToken},
        settings::ProofRequirement,
    },
    reason::Reason,
    telemetry::{DecisionOutcome, DecisionRecord, Held},
};

/// The reasons of denials that come before any token is used.
const WITHOUT_TOKEN: [Reason; 4] =
    [Reason::NoRoute, Reason::MethodNotAllowed, Reason::IrregularPath, Reason::Nobody];

/// Returns the record of a decision.
pub(super) fn recorded(record: &DecisionRecord, admin: &Admin) -> RecordedDecision {
    let held = record.held.as_deref();
    RecordedDecision {
        at: Some(rfc3339(record.at)),
        request_id: Some(record.request_id.clone()),
        method: record.method.to_string(),
        host: record.host.clone(),
        path: record.path.clone(),
        outcome: match record.outcome {
            DecisionOutcome::Permitted => RecordedOutcome::Permitted,
            DecisionOutcome::Denied => RecordedOutcome::Denied,
            DecisionOutcome::Outage => RecordedOutcome::Outage,
        },
        token: token(record),
        caller: held.map(|held| caller(record, held)),
        tested: held
            .into_iter()
            .flat_map(|held| held.tested.iter().map(ClaimPath::as_str).map(str::to_owned))
            .collect(),
        client_withheld: held.is_some() && record.client.is_none(),
        own: !record.is_check && admin.node.own_endpoint(&record.path).is_some(),
    }
}

fn token(record: &DecisionRecord) -> RecordedToken {
    if record.held.is_some() {
        return RecordedToken::Verified;
    }
    if record.is_anonymous {
        return RecordedToken::Absent;
    }
    let is_denied = record.outcome == DecisionOutcome::Denied;
    let used = is_denied
        && record.route.is_some()
        && !WITHOUT_TOKEN.iter().any(|reason| reason.as_str() == record.reason);
    if used { RecordedToken::Rejected } else { RecordedToken::Unseen }
}

fn caller(record: &DecisionRecord, held: &Held) -> SupposedCaller {
    let dpop = held.has_key.then_some(ProofRequirement::Dpop);
    let certificate = held.has_certificate.then_some(ProofRequirement::Certificate);
    SupposedCaller {
        provider: record.provider.clone(),
        subject: record.subject.as_ref().map(ToString::to_string),
        client: record.client.clone(),
        scopes: held.scopes.iter().cloned().collect(),
        roles: held.roles.clone(),
        audience: held.audience.clone(),
        claims: held.claims.clone(),
        acr: held.acr.as_deref().map(str::to_owned),
        signed_in: held.auth_time.map(|at| Span::new(record.at.since(at))),
        proof: dpop.into_iter().chain(certificate).collect(),
        actor: held.actor.as_deref().map(str::to_owned),
        details: held.details.clone(),
    }
}
