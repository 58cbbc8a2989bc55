//! `scopegate provider signals`: the stream of security events at its transmitter.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use scopegate_provider::{EventStream, Signals, StreamDelivery, StreamError, StreamReport, StreamStatus};
use serde::Serialize;

use super::super::{
    connect,
    console::Paint,
    failure::{Failure, Task, Verdict},
};
use crate::config::Config;

#[derive(Debug, Args)]
pub(in crate::cli) struct ManageStream {
    /// The provider's name in the configuration.
    name: String,
    /// The call to the transmitter.
    #[arg(value_enum)]
    call: Call,
}

/// A call to the transmitter (Shared Signals Framework 1.0, section 8).
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Call {
    /// Create the stream, with the delivery and the audience of the settings.
    Register,
    /// Print the stream and its status. 1 if it is not enabled, or its events would be refused.
    Status,
    /// Ask for a verification event, which the running nodes take as any event.
    Verify,
}

/// The stream, to be printed.
#[derive(Debug, Serialize)]
struct Managed {
    provider: String,
    /// The URL to which events are pushed, if it is known.
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamReport>,
    /// `true` if a verification event was requested.
    verification_requested: bool,
    good: bool,
}

impl ManageStream {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = connect::config(task)?;
        let endpoint = push_endpoint(&config, &self.name);
        let connected = connect::one(connect::choose(config.providers, Some(&self.name))?).await?;
        let provider = connected.provider();
        let stream = provider.signals().and_then(Signals::stream);
        let stream = stream.ok_or_else(|| self.failure(StreamError::NotConfigured("shared_signals")))?;
        let endpoint = endpoint.filter(|_| stream.poll_every().is_none());
        let report = self.call(stream, endpoint.as_deref()).await.map_err(|error| self.failure(error))?;
        let good = report.as_ref().is_none_or(|stream| {
            stream.problems.is_empty() && stream.status.is_none_or(|status| status == StreamStatus::Enabled)
        });
        let managed = Managed {
            provider: self.name.clone(),
            endpoint,
            verification_requested: report.is_none(),
            stream: report,
            good,
        };
        task.console.show(&managed, |out, paint| managed.write(out, paint))?;
        Ok(good.into())
    }

    /// Makes the call. A request for verification reports nothing: the event is the answer.
    async fn call(
        &self,
        stream: &dyn EventStream,
        endpoint: Option<&str>,
    ) -> Result<Option<StreamReport>, StreamError> {
        match self.call {
            Call::Register => stream.register(endpoint).await.map(Some),
            Call::Status => stream.status(endpoint).await.map(Some),
            Call::Verify => stream.verify(endpoint).await.map(|()| None),
        }
    }

    fn failure(&self, source: StreamError) -> Failure {
        Failure::Stream { name: self.name.clone(), source }
    }
}

/// Returns the URL to which the provider's events are pushed, if `server.public_url` is set.
fn push_endpoint(config: &Config, name: &str) -> Option<String> {
    let public_url = config.server.public_url.as_ref()?;
    Some(format!("{public_url}{}", config.push_path(name)?))
}

impl Managed {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let Some(stream) = &self.stream else {
            return writeln!(
                out,
                "requested: the transmitter sends a verification event to the running nodes; see \
                 `scopegate_shared_signals_last_verification_seconds`"
            );
        };
        writeln!(out, "stream     {}", stream.id)?;
        writeln!(out, "issuer     {}", stream.issuer)?;
        writeln!(out, "audience   {}", stream.audience.join(" "))?;
        let delivery = match stream.delivery {
            Some(StreamDelivery::Push) => "push",
            Some(StreamDelivery::Poll) => "poll",
            None => "not named",
        };
        writeln!(out, "delivery   {delivery} {}", stream.endpoint.as_deref().unwrap_or_default())?;
        for event in &stream.events {
            writeln!(out, "event      {event}")?;
        }
        if let Some(status) = stream.status {
            let text = match status {
                StreamStatus::Enabled => paint.good(status.as_str()),
                StreamStatus::Paused | StreamStatus::Disabled => paint.bad(status.as_str()),
            };
            writeln!(out, "status     {text} {}", stream.reason.as_deref().unwrap_or_default())?;
        }
        if stream.delivery == Some(StreamDelivery::Poll)
            && let Some(endpoint) = &stream.endpoint
        {
            writeln!(out, "poll       set `shared_signals.poll.url: {endpoint}`")?;
        }
        stream.problems.iter().try_for_each(|problem| writeln!(out, "problem    {}", paint.bad(problem)))
    }
}
