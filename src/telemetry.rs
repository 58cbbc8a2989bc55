//! Logs, the ids of requests, live decisions, metrics, and traces.

mod decision_outcome;
pub mod decisions;
#[cfg(feature = "server")]
mod log;
pub mod metrics;
mod outcome;
mod request_id;
mod settings;
mod shadow;
#[cfg(feature = "server")]
mod spans;
mod trace;
mod trace_context;

pub use decision_outcome::DecisionOutcome;
pub use decisions::{DecisionRecord, LiveDecisions};
#[cfg(feature = "server")]
pub use log::TelemetryError;
pub use metrics::Metrics;
#[cfg(feature = "server")]
pub(crate) use outcome::Restored;
pub use outcome::{Held, OriginalTarget, Outcome, Recording, Verdict};
pub use request_id::{RequestId, RequestIds};
pub use settings::{
    AuditSettings, Identify, LogFormat, LogLevel, LogLevelError, LogSettings, SampleRatio, TelemetrySettings,
    TracesEndpoint, TracesProtocol, TracesSettings,
};
pub use shadow::{ShadowDecision, ShadowNote};
#[cfg(feature = "server")]
pub(crate) use spans::RequestSpan;
#[cfg(feature = "server")]
pub use spans::{SpanCounts, Spans};
pub use trace::{Sender, Trace, TraceEndpoint};
#[cfg(feature = "server")]
pub(crate) use trace_context::TraceParent;
#[cfg(feature = "server")]
pub(crate) use trace_context::{TRACEPARENT, TRACESTATE};
