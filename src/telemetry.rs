//! What is told to operators: logs, each request with its id.

mod log;
mod request_id;
mod trace;

pub use log::{
    AuditSettings, LogFormat, LogLevel, LogLevelError, LogSettings, TelemetryError, TelemetrySettings,
};
pub use request_id::{RequestId, RequestIds};
pub use trace::{Outcome, Trace, TraceEndpoint};
