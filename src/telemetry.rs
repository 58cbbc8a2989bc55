//! Logs, the ids of requests, live decisions, and metrics.

mod decision_outcome;
pub mod decisions;
#[cfg(feature = "server")]
mod log;
pub mod metrics;
mod outcome;
mod request_id;
mod settings;
mod shadow;
mod trace;

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
    AuditSettings, Identify, LogFormat, LogLevel, LogLevelError, LogSettings, TelemetrySettings,
};
pub use shadow::{ShadowDecision, ShadowNote};
pub use trace::{Sender, Trace, TraceEndpoint};
