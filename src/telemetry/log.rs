//! The log of the process.

use std::io::IsTerminal;

use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError,
};

use super::settings::{LogFormat, LogLevel, LogSettings};

/// Errors of the start of log and traces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The process has a log already.
    #[error("the log is set up already: {0}")]
    Log(#[from] TryInitError),
    /// The exporter of traces cannot be set up.
    #[error("the export of traces: {0}")]
    Traces(String),
}

impl LogSettings {
    /// Sets up the log of the process, once.
    ///
    /// # Errors
    /// [`TelemetryError::Log`] at the second call.
    pub fn start(&self) -> Result<(), TelemetryError> {
        let registry = tracing_subscriber::registry().with(targets(&self.level));
        match self.format {
            LogFormat::Json => {
                registry
                    .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
                    .try_init()?;
            }
            LogFormat::Text => {
                let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                registry.with(fmt::layer().with_ansi(colour).with_writer(std::io::stderr)).try_init()?;
            }
        }
        Ok(())
    }
}

fn targets(level: &LogLevel) -> Targets {
    let targets = level.general.map_or_else(Targets::new, |general| Targets::new().with_default(general));
    targets.with_targets(level.modules.iter().cloned())
}
