//! What every gate before a handler does, whatever carries the request.

use http::{Extensions, HeaderMap, Method, Uri};

use super::{
    Caller, Hop, Matter, Permit, Refusal, State,
    cors::{Crossing, Preflight},
    refusal,
    request::Head,
    subprotocol,
};
use crate::{policy::Target, problem::Problem};

/// What is answered where nothing goes to the handler.
pub(super) enum Answer {
    /// The request is a browser's question, and this is the answer.
    Preflight(Box<Preflight>),
    /// The request may not pass.
    Refused(Box<Refusal>),
}

/// What goes to the handler.
pub(super) struct Admitted {
    permit: Permit,
    /// What the handler is to see instead.
    uri: Option<Uri>,
}

impl State {
    /// Decides about a request, and what pages of other origins may read of the answer.
    pub(super) async fn admit(&self, head: Head<'_>) -> (Result<Admitted, Answer>, Crossing) {
        let trusted = &self.settings.trusted_proxies;
        let announced = |method: &Method| Head { method, ..head }.target(trusted);
        match self.preflight(head.method, head.headers, announced) {
            Some(Ok(answer)) => return (Err(Answer::Preflight(answer.into())), Crossing::Undecided),
            Some(Err(refusal)) => return (Err(Answer::Refused(refusal)), Crossing::Undecided),
            None => {}
        }
        let asked = head.target(trusted).map(|target| (self.look_up(&target, Hop::Direct), target));
        let crossing = self.crossing(asked.as_ref().ok().map(|(matter, _)| matter), head.headers);
        let admission = self.permit(head, asked).await;
        (admission.map_err(|refusal| Answer::Refused(refusal.into())), crossing)
    }

    async fn permit(
        &self,
        head: Head<'_>,
        asked: Result<(Matter<'_>, Target), Problem>,
    ) -> Result<Admitted, Refusal> {
        let unrouted = |problem| refusal(problem, None);
        let (matter, target) = asked.map_err(unrouted)?;
        let permit = self.decide(matter, head.headers).await?;
        let uri = head.rewritten(&target).map_err(unrouted)?;
        Ok(Admitted { permit, uri })
    }
}

impl Admitted {
    /// The permit.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Makes the request what the handler is to see: its path, no token where none should be, and the permit, which says
    /// who calls; what another gate said does not count here. Says whether [`subprotocol::choose`] is to be asked about
    /// the answer.
    pub(super) fn enter(self, uri: &mut Uri, headers: &mut HeaderMap, extensions: &mut Extensions) -> bool {
        let chosen_here = subprotocol::clear(&self.permit, headers);
        if let Some(normal) = self.uri {
            *uri = normal;
        }
        extensions.remove::<Caller>();
        extensions.insert::<Permit>(self.permit);
        chosen_here
    }
}
