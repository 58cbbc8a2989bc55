//! The one decision that every front asks for: made at once where nobody has to be asked about a token.

use std::time::Instant;

use http::HeaderMap;

use super::{
    Matter, Permit, Refusal, State, Subprotocols,
    caller::{Caller, Met, Stranger},
    denied,
};
use crate::policy::{Decision, Resolved};

/// How far a decision comes without waiting.
enum Settled<'s> {
    Decided(Result<Permit, Box<Refusal>>),
    /// Somebody has to be asked about the token.
    Open(Resolved<'s>, Pending),
}

/// What is left of a decision: whom to ask about, and whether the token may have been among the subprotocols.
pub(super) struct Pending {
    stranger: Stranger,
    searched: bool,
}

impl State {
    /// Decides about what was looked up, for a request that came with these headers.
    pub(super) async fn decide(&self, matter: Matter<'_>, headers: &HeaderMap) -> Result<Permit, Refusal> {
        let begun = matter.begun;
        let decided = match self.settle(matter, headers) {
            Settled::Decided(decided) => decided,
            // Apart from the way of a known token, which stays small for it.
            Settled::Open(resolved, pending) => Box::pin(self.ask(&resolved, pending)).await,
        };
        self.observe(begun);
        decided.map_err(|refusal| *refusal)
    }

    /// The same, unless somebody has to be asked about the token: that is left to [`State::decide_later`].
    pub(super) fn decide_at_once(
        &self,
        matter: Matter<'_>,
        headers: &HeaderMap,
    ) -> Result<Result<Permit, Box<Refusal>>, Pending> {
        let begun = matter.begun;
        match self.settle(matter, headers) {
            Settled::Decided(decided) => {
                self.observe(begun);
                Ok(decided)
            }
            Settled::Open(_, pending) => Err(pending),
        }
    }

    /// Decides about the same matter, looked up again.
    pub(super) async fn decide_later(
        &self,
        matter: Matter<'_>,
        pending: Pending,
    ) -> Result<Permit, Box<Refusal>> {
        let begun = matter.begun;
        let decided = match self.current(matter) {
            Ok(resolved) => self.ask(&resolved, pending).await,
            Err(refusal) => Err(refusal),
        };
        self.observe(begun);
        decided
    }

    fn settle<'s>(&'s self, matter: Matter<'s>, headers: &HeaderMap) -> Settled<'s> {
        let searched = matter.takes_subprotocols(headers);
        let met = self.current(matter).and_then(|resolved| {
            let met = self.meet(&resolved, headers, searched)?;
            Ok((resolved, met))
        });
        match met {
            Ok((resolved, Met::Stranger(stranger))) => {
                Settled::Open(resolved, Pending { stranger, searched })
            }
            Ok((resolved, Met::Nobody)) => Settled::Decided(self.judge(&resolved, searched, None)),
            Ok((resolved, Met::Known(caller))) => {
                Settled::Decided(self.judge(&resolved, searched, Some(caller)))
            }
            Err(refusal) => Settled::Decided(Err(refusal)),
        }
    }

    async fn ask(&self, resolved: &Resolved<'_>, pending: Pending) -> Result<Permit, Box<Refusal>> {
        let caller = self.introduce(resolved, pending.stranger).await?;
        self.judge(resolved, pending.searched, Some(caller))
    }

    fn judge(
        &self,
        resolved: &Resolved<'_>,
        searched: bool,
        caller: Option<Caller>,
    ) -> Result<Permit, Box<Refusal>> {
        let offered = caller.as_ref().is_some_and(|caller| caller.offered);
        let subprotocols = Subprotocols::of(searched, offered);
        let principal = caller.as_ref().map(|caller| caller.known.principal.clone());
        match resolved.decide(principal.as_ref()) {
            Decision::Permit { route } => {
                let (route, options) = (route.label().clone(), route.options().clone());
                let (credentials, seen) =
                    caller.map(|Caller { known, .. }| (known.credentials, known.seen)).unzip();
                Ok(Permit { principal, credentials, route, options, seen, subprotocols })
            }
            Decision::Deny(refused) => Err(self.point(denied(&refused)).of(principal.as_ref()).into()),
        }
    }

    fn observe(&self, begun: Option<Instant>) {
        if let Some((metrics, begun)) = self.metrics.as_ref().zip(begun) {
            metrics.decisions.observe(begun.elapsed());
        }
    }
}
