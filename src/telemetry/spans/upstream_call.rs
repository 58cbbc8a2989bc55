//! The span of a call to an upstream: the child of the request's span, and the parent of what the upstream does.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use http::{Method, Request, StatusCode};
use url::Url;

use super::{
    OpenSpan, Spans, known_method, nanoseconds,
    otlp::{self, KeyValue, Span, Status, StatusCode as SpanStatus},
};
use crate::telemetry::{decisions::shown_path, trace_context::TraceContext};

/// The span of a request that is exported, for the parts of the node that serve the request.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan {
    spans: Arc<Spans>,
    context: TraceContext,
}

/// The span of a call in progress. A call that is given up is exported, too.
#[derive(Debug)]
pub(crate) struct UpstreamCall {
    spans: Arc<Spans>,
    parent: [u8; 8],
    context: TraceContext,
    method: Method,
    attributes: Vec<KeyValue>,
    start: SystemTime,
    clock: Instant,
    error: Option<String>,
}

impl RequestSpan {
    /// Returns the span of a request, if it is exported.
    pub(in crate::telemetry) fn of(spans: &Arc<Spans>, open: &OpenSpan) -> Option<Self> {
        open.is_sampled().then(|| Self { spans: Arc::clone(spans), context: open.context.clone() })
    }

    /// Opens the span of a call, and names it to the upstream as the parent. Returns `None` if no id can be drawn.
    pub(crate) fn call<B>(
        self,
        upstream: &str,
        url: Option<&Url>,
        request: &mut Request<B>,
    ) -> Option<UpstreamCall> {
        let mut span_id = [0; 8];
        rand::fill(&mut span_id).ok()?;
        let parent = self.context.span_id;
        let context = TraceContext { span_id, ..self.context };
        context.write(request.headers_mut());
        let method = request.method().clone();
        let mut attributes = vec![
            KeyValue::text("http.request.method", known_method(&method).unwrap_or("_OTHER")),
            KeyValue::text("scopegate.upstream", upstream),
        ];
        if let Some(url) = url {
            let host = url.host_str().unwrap_or_default();
            let origin = url.origin().ascii_serialization();
            let path = shown_path(request.uri().path());
            attributes.push(KeyValue::text("server.address", host));
            attributes.push(KeyValue::text("url.full", &format!("{origin}{path}")));
            let port = url.port_or_known_default().map(i64::from);
            attributes.extend(port.map(|port| KeyValue::integer("server.port", port)));
        }
        Some(UpstreamCall {
            spans: self.spans,
            parent,
            context,
            method,
            attributes,
            start: SystemTime::now(),
            clock: Instant::now(),
            error: Some("cancelled".to_owned()),
        })
    }
}

impl UpstreamCall {
    /// Ends the span with the status that the upstream has answered, whose body may still be on its way.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.attributes.push(KeyValue::integer("http.response.status_code", i64::from(status.as_u16())));
        let is_error = status.is_client_error() || status.is_server_error();
        self.error = is_error.then(|| status.as_u16().to_string());
    }

    /// Ends the span of a call without an answer.
    pub(crate) fn failed(mut self, reason: &str) {
        self.error = Some(reason.to_owned());
    }
}

impl Drop for UpstreamCall {
    fn drop(&mut self) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.extend(self.error.as_deref().map(|error| KeyValue::text("error.type", error)));
        let start = self.start.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.spans.enqueue(Span {
            trace_id: self.context.trace_id.to_vec(),
            span_id: self.context.span_id.to_vec(),
            trace_state: self.context.state.clone().unwrap_or_default(),
            parent_span_id: self.parent.to_vec(),
            name: known_method(&self.method).unwrap_or("HTTP").to_owned(),
            kind: otlp::KIND_CLIENT,
            start_time_unix_nano: nanoseconds(start),
            end_time_unix_nano: nanoseconds(start + self.clock.elapsed()),
            attributes,
            links: Vec::new(),
            status: self
                .error
                .take()
                .map(|_| Status { message: String::new(), code: SpanStatus::Error.into() }),
            flags: u32::from(self.context.is_sampled),
        });
    }
}
