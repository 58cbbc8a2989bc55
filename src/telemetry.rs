//! Logs, the ids of requests, live decisions, and metrics.

pub mod decisions;
#[cfg(feature = "server")]
mod log;
pub mod metrics;
mod request_id;
mod settings;
mod trace;

pub use decisions::{DecisionOutcome, DecisionRecord, LiveDecisions};
#[cfg(feature = "server")]
pub use log::TelemetryError;
pub use metrics::Metrics;
pub use request_id::{RequestId, RequestIds};
pub use settings::{
    AuditSettings, Identify, LogFormat, LogLevel, LogLevelError, LogSettings, TelemetrySettings,
};
#[cfg(feature = "server")]
pub(crate) use trace::Restored;
pub use trace::{Held, OriginalTarget, Outcome, Sender, Trace, TraceEndpoint, Verdict};
