//! Spans of requests, exported over OTLP. They wait in a bounded queue; a span that finds it full is dropped and counted,
//! so that a collector that is slow, down or refuses changes neither latency nor memory.

mod export;
mod otlp;
mod upstream_call;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::upstream_call::RequestSpan;
use self::{
    export::{Exporter, export},
    otlp::{KeyValue, Link, Span, Status, StatusCode},
};
use super::{DecisionRecord, TelemetryError, settings::TracesSettings, trace_context::TraceContext};

/// The number of spans that may wait for export.
const QUEUE: usize = 2_048;

/// The exporter of the spans of a node.
#[derive(Debug)]
pub struct Spans {
    queue: mpsc::Sender<Waiting>,
    /// The share of traces that are sampled where no trusted proxy decides.
    ratio: f64,
    counts: Arc<SpanCounts>,
}

/// The numbers of spans since the start, by what became of them.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// Spans that the collector has accepted.
    pub exported: AtomicU64,
    /// Spans that found the queue full.
    pub dropped: AtomicU64,
    /// Spans that the collector did not accept.
    pub failed: AtomicU64,
}

/// An entry of the queue.
#[derive(Debug)]
enum Waiting {
    Span(Box<Span>),
    /// Answered when everything before it was exported.
    Flush(oneshot::Sender<()>),
}

/// The span of a request in progress.
#[derive(Debug, Clone)]
pub(super) struct OpenSpan {
    /// The context of the span itself, as the next hop gets it.
    context: TraceContext,
    parent: Option<[u8; 8]>,
    /// The context of a caller that is not trusted.
    link: Option<TraceContext>,
}

impl Spans {
    /// Starts to export spans to the endpoint of the settings, if there is one.
    ///
    /// # Errors
    /// The exporter cannot be set up.
    pub fn start(settings: &TracesSettings, node: &str) -> Result<Option<Arc<Self>>, TelemetryError> {
        let Some(exporter) = Exporter::new(settings, node)? else { return Ok(None) };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let counts = Arc::<SpanCounts>::default();
        tokio::spawn(export(exporter, waiting, counts.clone()));
        Ok(Some(Arc::new(Self { queue, ratio: settings.sample.get(), counts })))
    }

    /// Returns the numbers of spans since the start.
    pub fn counts(&self) -> &SpanCounts {
        &self.counts
    }

    /// Waits until the spans of the past were exported, for at most `timeout`.
    pub async fn flush(&self, timeout: Duration) {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if self.queue.send(Waiting::Flush(done)).await.is_ok() {
                // An exporter that has ended has nothing left to export.
                let _ = flushed.await;
            }
        };
        let _ = tokio::time::timeout(timeout, flush).await;
    }

    /// Opens the span of a request. The trace of a trusted proxy goes on, and its decision on sampling holds; any other
    /// caller's is only linked to, so that it can neither force the export nor choose the trace.
    pub(super) fn open(&self, headers: &mut HeaderMap, is_trusted: bool) -> Option<OpenSpan> {
        let caller = TraceContext::of(headers);
        let mut random = [0; 24];
        rand::fill(&mut random).ok()?;
        let (trace_id, rest) = random.split_first_chunk::<16>()?;
        let span_id = *rest.first_chunk::<8>()?;
        let open = match caller {
            Some(caller) if is_trusted => OpenSpan {
                parent: Some(caller.span_id),
                context: TraceContext { span_id, ..caller },
                link: None,
            },
            link => OpenSpan {
                context: TraceContext {
                    trace_id: *trace_id,
                    span_id,
                    is_sampled: self.samples(*trace_id),
                    state: None,
                },
                parent: None,
                link,
            },
        };
        open.context.write(headers);
        Some(open)
    }

    /// Hands a span over to the exporter. Never waits.
    pub(super) fn record(&self, open: &OpenSpan, record: &DecisionRecord, facts: SpanFacts<'_>) {
        self.enqueue(open.span(record, facts));
    }

    fn enqueue(&self, span: Span) {
        if self.queue.try_send(Waiting::Span(Box::new(span))).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Samples by the trace id, from the ninth byte on without the highest bit, as the SDKs of OpenTelemetry do.
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        let number = trace_id.last_chunk::<8>().and_then(|last| last.first_chunk()).copied();
        let number = u32::from_be_bytes(number.unwrap_or_default()) & (u32::MAX >> 1);
        f64::from(number) < self.ratio * f64::from(1_u32 << 31)
    }
}

/// The facts about a request that its record does not hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanFacts<'a> {
    pub(super) elapsed: Duration,
    pub(super) scheme: &'a str,
    pub(super) version: http::Version,
}

impl OpenSpan {
    pub(super) fn is_sampled(&self) -> bool {
        self.context.is_sampled
    }

    /// Builds the span with the names of the semantic conventions for HTTP servers. What callers choose freely is never
    /// part of its name.
    fn span(&self, record: &DecisionRecord, facts: SpanFacts<'_>) -> Span {
        let method = known_method(&record.method);
        let route =
            record.route.as_deref().map(|route| route.split_once(' ').map_or(route, |(_, path)| path));
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let status = record.status;
        let (host, port) =
            record.host.rsplit_once(':').map_or((record.host.as_str(), None), |(host, port)| {
                port.parse::<i64>().map_or((record.host.as_str(), None), |port| (host, Some(port)))
            });
        let mut attributes = vec![
            KeyValue::text("http.request.method", method.unwrap_or("_OTHER")),
            KeyValue::text("url.scheme", facts.scheme),
            KeyValue::text("url.path", &record.path),
            KeyValue::integer("http.response.status_code", i64::from(status)),
            KeyValue::text("server.address", host),
            KeyValue::text("client.address", &record.peer),
            KeyValue::text("network.protocol.version", protocol(facts.version)),
            KeyValue::text("scopegate.request_id", &record.request_id),
            KeyValue::text("scopegate.decision", record.outcome.as_str()),
        ];
        if method.is_none() {
            attributes.push(KeyValue::text("http.request.method_original", record.method.as_str()));
        }
        attributes.extend(port.map(|port| KeyValue::integer("server.port", port)));
        let error = (status >= 500).then(|| status.to_string());
        for (name, value) in [
            ("http.route", route),
            ("error.type", error.as_deref()),
            ("scopegate.reason", Some(record.reason.as_str()).filter(|reason| !reason.is_empty())),
            ("scopegate.rule", record.rule.as_deref()),
            ("scopegate.provider", record.provider.as_ref().map(scopegate_provider::ProviderName::as_str)),
            ("scopegate.client", record.client.as_ref().map(scopegate_provider::ClientId::as_str)),
            ("user.id", record.subject.as_ref().map(scopegate_provider::Subject::as_str)),
        ] {
            attributes.extend(value.map(|value| KeyValue::text(name, value)));
        }
        let name = match (method, route) {
            (method, Some(route)) => format!("{} {route}", method.unwrap_or("HTTP")),
            (method, None) => method.unwrap_or("HTTP").to_owned(),
        };
        Span {
            trace_id: self.context.trace_id.to_vec(),
            span_id: self.context.span_id.to_vec(),
            trace_state: self.context.state.clone().unwrap_or_default(),
            parent_span_id: self.parent.map(Vec::from).unwrap_or_default(),
            name,
            kind: otlp::KIND_SERVER,
            start_time_unix_nano: nanoseconds(end.saturating_sub(facts.elapsed)),
            end_time_unix_nano: nanoseconds(end),
            attributes,
            links: self.link.iter().map(Link::to).collect(),
            status: error.map(|_| Status { message: String::new(), code: StatusCode::Error.into() }),
            flags: u32::from(self.context.is_sampled),
        }
    }
}

fn nanoseconds(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the name of a method that the semantic conventions know.
fn known_method(method: &http::Method) -> Option<&'static str> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    known.into_iter().find(|known| method == known)
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
