//! The exporter: batches of spans to a collector, over gRPC or HTTP.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header, uri::PathAndQuery};
use prost::Message;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tonic::{
    client::Grpc,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig},
};
use tonic_prost::ProstCodec;
use url::Url;

use super::{
    SpanCounts, Waiting,
    otlp::{
        ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue, Resource,
        ResourceSpans, ScopeSpans, Span,
    },
};
use crate::telemetry::{
    TelemetryError,
    settings::{TracesProtocol, TracesSettings},
};

/// The number of spans in a request.
const BATCH: usize = 512;

/// The longest time that a span waits for others.
const EVERY: Duration = Duration::from_secs(1);

/// The time limit of a request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer of a collector that is read, in bytes.
const ANSWER: usize = 16 << 10;

/// The method of the service over gRPC.
const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");

/// A collector, and what each request to it says of this node.
pub(super) struct Exporter {
    collector: Collector,
    headers: HeaderMap,
    resource: Resource,
}

enum Collector {
    Grpc(Channel),
    Http { client: reqwest::Client, url: Url },
}

impl Exporter {
    /// Creates the exporter of the settings, if they name an endpoint. Nothing is connected yet.
    pub(super) fn new(settings: &TracesSettings, node: &str) -> Result<Option<Self>, TelemetryError> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let url = endpoint.url().clone();
        let collector = match settings.protocol {
            TracesProtocol::Grpc => Collector::Grpc(channel(&url)?),
            TracesProtocol::Http => Collector::Http { client: client()?, url: traces_url(url) },
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| invalid_header(name))?;
            let mut value =
                HeaderValue::from_str(value.reveal()).map_err(|_| invalid_header(name.as_str()))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let attributes = vec![
            KeyValue::text("service.name", "scopegate"),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::text("service.instance.id", node),
        ];
        Ok(Some(Self { collector, headers, resource: Resource { attributes } }))
    }

    /// Sends a batch. The error says nothing of the headers.
    async fn send(&self, spans: Vec<Span>) -> Result<(), String> {
        let scope = InstrumentationScope {
            name: "scopegate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let response = match &self.collector {
            Collector::Grpc(channel) => self.send_grpc(channel.clone(), request).await?,
            Collector::Http { client, url } => self.send_http(client, url, request).await?,
        };
        match response.partial_success {
            Some(partial) if partial.rejected_spans > 0 => {
                Err(format!("it rejected {} spans", partial.rejected_spans))
            }
            _ => Ok(()),
        }
    }

    async fn send_grpc(
        &self,
        channel: Channel,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, String> {
        let mut client = Grpc::new(channel).max_decoding_message_size(ANSWER);
        client.ready().await.map_err(|error| error.to_string())?;
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        request.set_timeout(TIMEOUT);
        let codec = ProstCodec::default();
        let response = client.unary(request, EXPORT.clone(), codec).await;
        response.map(tonic::Response::into_inner).map_err(|status| format!("{:?}", status.code()))
    }

    async fn send_http(
        &self,
        client: &reqwest::Client,
        url: &Url,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, String> {
        let request = client
            .post(url.clone())
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(request.encode_to_vec());
        let mut response = request.send().await.map_err(|error| error.without_url().to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + part.len() > ANSWER {
                return Ok(ExportTraceServiceResponse::default());
            }
            body.extend_from_slice(&part);
        }
        // A collector that answers in another form, or at length, has taken the spans all the same.
        Ok(ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default())
    }
}

/// Exports the spans of the queue until all its senders are gone.
pub(super) async fn export(exporter: Exporter, mut queue: mpsc::Receiver<Waiting>, counts: Arc<SpanCounts>) {
    let mut batch = Vec::new();
    let mut is_reachable = true;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let waiting = tokio::select! {
            waiting = queue.recv() => waiting,
            _ = tick.tick() => {
                flush(&exporter, &mut batch, &counts, &mut is_reachable).await;
                continue;
            }
        };
        match waiting {
            Some(Waiting::Span(span)) => {
                batch.push(*span);
                if batch.len() >= BATCH {
                    flush(&exporter, &mut batch, &counts, &mut is_reachable).await;
                }
            }
            Some(Waiting::Flush(done)) => {
                flush(&exporter, &mut batch, &counts, &mut is_reachable).await;
                // The caller may have stopped waiting.
                let _ = done.send(());
            }
            None => return flush(&exporter, &mut batch, &counts, &mut is_reachable).await,
        }
    }
}

/// Sends the batch, if there is one, and counts its spans. The log tells only that the collector's state has changed.
async fn flush(exporter: &Exporter, batch: &mut Vec<Span>, counts: &SpanCounts, is_reachable: &mut bool) {
    if batch.is_empty() {
        return;
    }
    let spans = mem::take(batch);
    let number = u64::try_from(spans.len()).unwrap_or(u64::MAX);
    let sent = tokio::time::timeout(TIMEOUT, exporter.send(spans)).await;
    match sent.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
        Ok(()) => {
            counts.exported.fetch_add(number, Ordering::Relaxed);
            if !mem::replace(is_reachable, true) {
                tracing::info!("the collector of traces takes spans again");
            }
        }
        Err(error) => {
            counts.failed.fetch_add(number, Ordering::Relaxed);
            if mem::replace(is_reachable, false) {
                tracing::warn!(
                    error,
                    "cannot export spans to the collector of traces; will log when it recovers"
                );
            }
        }
    }
}

fn channel(url: &Url) -> Result<Channel, TelemetryError> {
    let unusable = |error: tonic::transport::Error| TelemetryError::Traces(error.to_string());
    let mut endpoint = Channel::from_shared(url.to_string())
        .map_err(|error| TelemetryError::Traces(error.to_string()))?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT);
    if url.scheme() == "https" {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(unusable)?;
    }
    Ok(endpoint.connect_lazy())
}

fn client() -> Result<reqwest::Client, TelemetryError> {
    let client =
        reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(|error| TelemetryError::Traces(error.to_string()))
}

/// Returns the URL for traces: `/v1/traces` is added where the endpoint has no path.
fn traces_url(mut endpoint: Url) -> Url {
    if matches!(endpoint.path(), "" | "/") {
        endpoint.set_path("/v1/traces");
    }
    endpoint
}

fn invalid_header(name: &str) -> TelemetryError {
    TelemetryError::Traces(format!("`telemetry.traces.headers`: `{name}` is not a header with a valid value"))
}
