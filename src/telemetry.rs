//! What is told to operators: logs, each request with its id, and metrics.

#[cfg(feature = "server")]
mod log;
pub mod metrics;
mod request_id;
mod settings;
mod trace;

#[cfg(feature = "server")]
pub use log::TelemetryError;
pub use metrics::Metrics;
pub use request_id::{RequestId, RequestIds};
pub use settings::{AuditSettings, LogFormat, LogLevel, LogLevelError, LogSettings, TelemetrySettings};
pub use trace::{Outcome, Trace, TraceEndpoint, Verdict};
