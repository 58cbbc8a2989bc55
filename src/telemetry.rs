//! Logs, the ids of requests, live decisions, and metrics.

pub mod decisions;
#[cfg(feature = "server")]
mod log;
pub mod metrics;
mod outcome;
mod request_id;
mod settings;
mod trace;

pub use decisions::{DecisionOutcome, DecisionRecord, LiveDecisions};
#[cfg(feature = "server")]
pub use log::TelemetryError;
pub use metrics::Metrics;
#[cfg(feature = "server")]
pub(crate) use outcome::Restored;
pub use outcome::{Held, OriginalTarget, Outcome, Verdict};
pub use request_id::{RequestId, RequestIds};
pub use settings::{
    AuditSettings, Identify, LogFormat, LogLevel, LogLevelError, LogSettings, TelemetrySettings,
};
pub use trace::{Sender, Trace, TraceEndpoint};
