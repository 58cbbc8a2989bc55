//! What every gate before a handler does, whatever carries the request.

use http::{Extensions, HeaderMap, Method, Uri};

use super::{
    Caller, Hop, Matter, Permit, Refusal, State,
    cors::{Crossing, Preflight},
    decide::Pending,
    refusal,
    request::Head,
    subprotocol,
};
use crate::policy::Target;

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

/// What came of it, and what pages of other origins may read of the answer.
pub(super) type Admission = (Result<Admitted, Answer>, Crossing);

/// A request about whose token somebody has to be asked.
pub(super) struct Unsettled {
    target: Target,
    pending: Pending,
}

/// What is asked of a request before its caller is looked at.
struct Asked<'s> {
    target: Target,
    matter: Matter<'s>,
    crossing: Crossing,
}

impl State {
    /// Decides about a request, and what pages of other origins may read of the answer.
    pub(super) async fn admit(&self, head: Head<'_>) -> Admission {
        match self.admit_at_once(head) {
            Ok(admission) => admission,
            Err(unsettled) => self.admit_later(head, *unsettled).await,
        }
    }

    /// The same, unless somebody has to be asked about the token: that is left to [`State::admit_later`].
    pub(super) fn admit_at_once(&self, head: Head<'_>) -> Result<Admission, Box<Unsettled>> {
        match self.look(head) {
            Ok(Asked { target, matter, crossing }) => match self.decide_at_once(matter, head.headers) {
                Ok(decided) => Ok((admitted(head, &target, decided), crossing)),
                Err(pending) => Err(Unsettled { target, pending }.into()),
            },
            Err((answer, crossing)) => Ok((Err(answer), crossing)),
        }
    }

    /// Asks about the token of a request, and decides.
    pub(super) async fn admit_later(&self, head: Head<'_>, unsettled: Unsettled) -> Admission {
        let Unsettled { target, pending } = unsettled;
        let matter = self.look_up(&target, Hop::Direct);
        let crossing = self.crossing(Some(&matter), head.headers);
        let decided = self.decide_later(matter, pending).await;
        (admitted(head, &target, decided), crossing)
    }

    /// What the request asks for, unless that is answered already.
    fn look(&self, head: Head<'_>) -> Result<Asked<'_>, (Answer, Crossing)> {
        let trusted = &self.settings.trusted_proxies;
        let announced = |method: &Method| Head { method, ..head }.target(trusted);
        match self.preflight(head.method, head.headers, announced) {
            Some(Ok(answer)) => return Err((Answer::Preflight(answer.into()), Crossing::Undecided)),
            Some(Err(refusal)) => return Err((Answer::Refused(refusal), Crossing::Undecided)),
            None => {}
        }
        match head.target(trusted) {
            Ok(target) => {
                let matter = self.look_up(&target, Hop::Direct);
                let crossing = self.crossing(Some(&matter), head.headers);
                Ok(Asked { target, matter, crossing })
            }
            Err(problem) => {
                let refusal = Answer::Refused(refusal(problem, None).into());
                Err((refusal, self.crossing(None, head.headers)))
            }
        }
    }
}

fn admitted(
    head: Head<'_>,
    target: &Target,
    decided: Result<Permit, Box<Refusal>>,
) -> Result<Admitted, Answer> {
    let permit = decided.map_err(Answer::Refused)?;
    let uri = head.rewritten(target).map_err(|problem| Answer::Refused(refusal(problem, None).into()))?;
    Ok(Admitted { permit, uri })
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
