//! The time limit of scopegate's own endpoints.

use poem::{Endpoint, Request, Result};

use super::{request_body::RequestBodyHandle, sending::Sending};

/// An endpoint whose requests and answers are short: its caller is waited for no longer than `body_timeout` while it
/// sends the body and `send_timeout` while it receives the answer, however many bytes move meanwhile. The endpoint's own
/// time, and that of a stream of events, is not limited.
#[derive(Debug, Clone)]
pub(crate) struct Brief<E>(pub(crate) E);

impl<E: Endpoint> Endpoint for Brief<E> {
    type Output = E::Output;

    fn call(&self, request: Request) -> impl Future<Output = Result<Self::Output>> + Send {
        Sending::set_brief(true);
        if let Some(body) = request.data::<RequestBodyHandle>() {
            body.0.set_brief();
        }
        self.0.call(request)
    }
}
