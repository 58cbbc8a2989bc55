//! A span and a log line for each request.

use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc, time::Instant};

use futures_util::FutureExt;
#[cfg(feature = "server")]
use http::Version;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result, web::RemoteAddr};
use scopegate_provider::Timestamp;
use tracing::Instrument;

use super::{
    DecisionOutcome, DecisionRecord, Held, Metrics, Outcome, RequestId, RequestIds, ShadowDecision, Verdict,
    decisions::shown_path, outcome::Restored, settings::Identify, trace_context, trace_context::TraceParent,
};
#[cfg(feature = "server")]
use super::{
    Spans,
    spans::{OpenSpan, RequestSpan, SpanFacts},
};
use crate::reason::Reason;

/// The header in which proxies name the addresses that a request came from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The sender of a request, as far as its headers are believed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender {
    /// Set if the sender is a trusted proxy.
    pub is_trusted: bool,
    /// The address of the caller that a trusted proxy names.
    pub caller: Option<IpAddr>,
}

/// Gives each request an id, a span, and a line in the log (refusals at `info`, the rest at `debug`), and counts its
/// answer.
#[derive(Clone)]
pub struct Trace {
    header: HeaderName,
    ids: Arc<RequestIds>,
    metrics: Arc<Metrics>,
    identify: Identify,
    sender: Arc<dyn Fn(&Request) -> Sender + Send + Sync>,
    rules: Arc<HashMap<Arc<str>, Box<str>>>,
    #[cfg(feature = "server")]
    spans: Option<Arc<Spans>>,
}

impl Trace {
    /// Creates the middleware. Ids are read and written under this header, and read from no sender.
    pub fn new(header: HeaderName, metrics: Arc<Metrics>) -> Self {
        Self {
            header,
            ids: Arc::new(RequestIds::new()),
            metrics,
            identify: Identify::default(),
            sender: Arc::new(|_| Sender::default()),
            rules: Arc::default(),
            #[cfg(feature = "server")]
            spans: None,
        }
    }

    /// Names callers in the log by this.
    #[must_use]
    pub fn identifying(self, identify: Identify) -> Self {
        Self { identify, ..self }
    }

    /// Believes the ids and addresses of senders as `sender` says. It is called only for requests that carry any.
    #[must_use]
    pub fn believing(self, sender: impl Fn(&Request) -> Sender + Send + Sync + 'static) -> Self {
        Self { sender: Arc::new(sender), ..self }
    }

    /// Names the places of rules in the log, by the labels of their routes.
    #[must_use]
    pub fn locating(self, rules: HashMap<Arc<str>, Box<str>>) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }

    /// Exports a span of each request.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn exporting(self, spans: Option<Arc<Spans>>) -> Self {
        Self { spans, ..self }
    }

    /// Opens the span of a request, and prepares the trace context for the next hop.
    #[cfg_attr(
        not(feature = "server"),
        expect(clippy::unused_self, reason = "embedded gates export no spans")
    )]
    fn open_span(&self, request: &mut Request, is_trusted: bool) -> Option<OpenSpan> {
        #[cfg(feature = "server")]
        if let Some(spans) = &self.spans {
            let open = spans.open(request.headers_mut(), is_trusted)?;
            if let Some(span) = RequestSpan::of(spans, &open) {
                request.set_data(span);
            }
            return Some(open);
        }
        trace_context::pass_on(request.headers_mut(), is_trusted);
        None
    }

    /// Returns the sender of a request.
    fn sender(&self, request: &Request) -> Sender {
        let headers = request.headers();
        // Few fields come: comparing each costs less than hashing their names.
        if headers.keys().any(|name| *name == self.header || *name == FORWARDED_FOR)
            || trace_context::is_present(headers)
        {
            (self.sender)(request)
        } else {
            Sender::default()
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<E: Endpoint> Middleware<E> for Trace {
    type Output = TraceEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        TraceEndpoint { inner, trace: self.clone() }
    }
}

/// The endpoint that [`Trace`] makes.
#[derive(Debug)]
pub struct TraceEndpoint<E> {
    inner: E,
    trace: Trace,
}

/// The span of a request, which embedded gates do not export.
#[cfg(not(feature = "server"))]
enum OpenSpan {}

#[cfg(not(feature = "server"))]
impl OpenSpan {
    fn is_sampled(&self) -> bool {
        match *self {}
    }
}

/// The facts about a request that its line in the log names.
struct Facts {
    id: RequestId,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    peer: RemoteAddr,
    caller: Option<IpAddr>,
    start: Instant,
    #[cfg(feature = "server")]
    version: Version,
    #[cfg(feature = "server")]
    scheme: &'static str,
    trace: Option<TraceParent>,
    span: Option<OpenSpan>,
}

impl<E: Endpoint> Endpoint for TraceEndpoint<E> {
    type Output = Response;

    // Not an `async fn`, which would hold the request twice: whatever a layer holds is copied with every request.
    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response>> + Send {
        let sender = self.trace.sender(&request);
        let is_trusted = sender.is_trusted;
        let span = self.trace.open_span(&mut request, is_trusted);
        let given = is_trusted.then(|| request.headers().get(&self.trace.header)).flatten();
        let facts = Facts {
            id: self.trace.ids.of(given),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(header::HOST).cloned(),
            peer: request.remote_addr().clone(),
            caller: sender.caller,
            start: Instant::now(),
            #[cfg(feature = "server")]
            version: request.version(),
            #[cfg(feature = "server")]
            scheme: if request.scheme() == &http::uri::Scheme::HTTPS { "https" } else { "http" },
            trace: TraceParent::of(request.headers()),
            span,
        };
        let span = tracing::debug_span!("request", id = facts.id.as_str(), method = %facts.method);
        // Upstreams get the same id, in place of one that the caller may have sent.
        request.headers_mut().insert(self.trace.header.clone(), facts.id.header().clone());
        self.inner.call(request).instrument(span).map(move |answer| {
            let mut response = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
            response.headers_mut().insert(self.trace.header.clone(), facts.id.header().clone());
            if response.data::<Restored>().is_none() {
                self.trace.report(&facts, response.data(), response.status());
            }
            Ok(response)
        })
    }
}

impl Trace {
    /// Counts an answer, logs it, and remembers the decision. Log and memory have the same record of it.
    fn report(&self, facts: &Facts, outcome: Option<&Outcome>, status: StatusCode) {
        self.metrics.requests.count(outcome, Verdict::of(outcome), status);
        let live = &self.metrics.live;
        let shadow = outcome.and_then(|outcome| outcome.recording.shadow.as_ref());
        let is_remembered =
            outcome.is_some_and(|outcome| !outcome.passed || live.is_watched()) || shadow.is_some();
        let is_refused = outcome.map_or(is_refusal(status), |outcome| outcome.reason != Reason::Permitted);
        let is_traced = facts.is_traced();
        if !is_refused && !is_remembered && !is_traced && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let record = self.record(facts, outcome, status);
        #[cfg(feature = "server")]
        if let (Some(spans), Some(span)) = (&self.spans, facts.span.as_ref().filter(|_| is_traced)) {
            let elapsed = facts.start.elapsed();
            spans.record(span, &record, SpanFacts { elapsed, scheme: facts.scheme, version: facts.version });
        }
        let has_passed = outcome.is_some_and(|outcome| outcome.passed);
        if is_refused {
            record.log_at_info(if has_passed { "failed" } else { "refused" });
        } else {
            record.log_at_debug();
        }
        if let Some(shadow) = shadow {
            let metrics = Arc::clone(&self.metrics);
            let names_client = self.identify != Identify::None;
            // Without the note, which would hold itself.
            let record = DecisionRecord { shadow: None, ..record.clone() };
            shadow.report_with(move |decision| report_shadow(&metrics, &record, decision, names_client));
        }
        if is_remembered {
            live.record(record);
        }
    }

    /// Builds the record of a decision.
    fn record(&self, facts: &Facts, outcome: Option<&Outcome>, status: StatusCode) -> DecisionRecord {
        let original = outcome.and_then(|outcome| outcome.original.as_deref());
        let authority = facts.uri.authority().map(http::uri::Authority::as_str);
        let host = authority.or_else(|| facts.host.as_ref().and_then(|host| host.to_str().ok()));
        let (method, host, path) = match original {
            Some(original) => (
                &original.method,
                String::from_utf8_lossy(&original.host).into_owned(),
                shown_path(&String::from_utf8_lossy(&original.path_and_query)),
            ),
            None => (&facts.method, host.unwrap_or_default().to_owned(), shown_path(facts.uri.path())),
        };
        let route = outcome.and_then(|outcome| outcome.route.clone());
        let names_client = self.identify != Identify::None;
        let names_subject = self.identify == Identify::Subject;
        let recording = outcome.map(|outcome| outcome.recording.clone()).unwrap_or_default();
        DecisionRecord {
            number: 0,
            request_id: facts.id.as_str().to_owned(),
            at: Timestamp::MAX,
            outcome: match Verdict::of(outcome) {
                Verdict::Permit | Verdict::None => DecisionOutcome::Permitted,
                Verdict::Deny => DecisionOutcome::Denied,
                Verdict::Unavailable => DecisionOutcome::Outage,
            },
            status: status.as_u16(),
            reason: outcome.map(|outcome| outcome.reason.to_string()).unwrap_or_default(),
            method: method.clone(),
            host,
            path,
            rule: route.as_ref().and_then(|route| self.rules.get(route)).cloned(),
            route,
            provider: outcome.and_then(|outcome| outcome.provider.clone()),
            client: outcome.and_then(|outcome| outcome.client.clone()).filter(|_| names_client),
            subject: outcome.and_then(|outcome| outcome.subject.clone()).filter(|_| names_subject),
            peer: facts.peer(),
            is_check: original.is_some(),
            trace_id: facts.trace_id(),
            missing: outcome.map(|outcome| outcome.missing.to_vec()).unwrap_or_default(),
            detail: outcome.and_then(|outcome| outcome.detail.clone()),
            held: recording.held.map(|held| named(held, names_subject)),
            is_anonymous: recording.is_anonymous,
            shadow: recording.shadow,
            micros: u64::try_from(facts.start.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Facts {
    /// Returns `true` if the span of the request is exported.
    fn is_traced(&self) -> bool {
        self.span.as_ref().is_some_and(OpenSpan::is_sampled)
    }

    /// Returns the id of the trace, if the request belongs to one.
    fn trace_id(&self) -> Option<Box<str>> {
        self.trace.as_ref()?.trace_id().map(Into::into)
    }

    /// Returns the address of the caller: the one that a trusted proxy names, or that of the connection.
    fn peer(&self) -> String {
        match (self.caller, self.peer.as_socket_addr()) {
            (Some(caller), _) => caller.to_string(),
            (None, Some(address)) => address.ip().to_canonical().to_string(),
            (None, None) => "unix".to_owned(),
        }
    }
}

/// Counts a decision of routes in `mode: shadow`, and logs it where it differs.
fn report_shadow(metrics: &Metrics, record: &DecisionRecord, decision: &ShadowDecision, names_client: bool) {
    let client = decision.client.clone().filter(|_| names_client);
    let decision = ShadowDecision { client, ..decision.clone() };
    metrics.shadow.count(record.outcome, &decision);
    if decision.differs_from(record.outcome) {
        record.log_shadow(&decision);
    }
}

/// Returns the facts of a token, without the subject unless it may be named.
fn named(mut held: Box<Held>, names_subject: bool) -> Box<Held> {
    if !names_subject {
        held.forget_subject();
    }
    held
}

/// Returns `true` if an endpoint that no gate guards has refused a request.
fn is_refusal(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 400 | 401 | 403 | 405 | 429)
}
