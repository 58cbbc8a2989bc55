//! `scopegate serve`: serves, and says where, by whom, and what to try first.

use std::io::{self, Write};

use scopegate_provider::HealthReport;

use crate::{
    app::{self, Greeting, ServeError},
    config::{Config, ConfigSource, Loader},
};

/// Serves until it is told to end.
///
/// # Errors
/// [`ServeError`]: it could not start.
pub(super) async fn serve(loader: &Loader, source: &ConfigSource, config: Config) -> Result<(), ServeError> {
    // Boxed: the future is large, and there is one of it.
    Box::pin(app::serve(loader, source, config, |greeting| {
        // The reader of the output may be gone.
        let _ = print(&mut io::stdout().lock(), greeting);
    }))
    .await
}

fn print(out: &mut impl Write, greeting: &Greeting) -> io::Result<()> {
    writeln!(out, "scopegate {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  listening on   {}", greeting.listen)?;
    writeln!(out, "  operations on  {}", greeting.operations)?;
    if let Some(grpc) = &greeting.grpc {
        writeln!(out, "  gRPC on        {grpc}")?;
    }
    for provider in &greeting.providers {
        let told = provider.health.as_ref().map_or_else(|| "connected".to_owned(), health);
        writeln!(out, "  provider {} ({}): {}", provider.name, provider.kind, told)?;
    }
    if greeting.built_in {
        writeln!(
            out,
            "  configuration  the built-in one for development: loopback only, everything in memory"
        )?;
    }
    if greeting.without_store {
        writeln!(out, "  store          none: whatever must last is refused (set `store.url`)")?;
    }
    for warning in &greeting.warnings {
        writeln!(out, "  warning        {}", warning.replace('\n', "\n                 "))?;
    }
    first_call(out, greeting)?;
    writeln!(out, "ready")?;
    out.flush()
}

fn health(report: &HealthReport) -> String {
    let issuers = report.issuers.iter().map(|issuer| {
        let mut algorithms: Vec<&str> =
            issuer.keys.iter().flat_map(|key| &key.algorithms).map(String::as_str).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        match (issuer.keys.len(), &issuer.last_error) {
            (0, Some(error)) => format!("{}, no keys yet: {error}", issuer.issuer),
            (0, None) => format!("{}, no keys yet", issuer.issuer),
            (1, _) => format!("{}, 1 key ({})", issuer.issuer, algorithms.join(", ")),
            (count, _) => format!("{}, {count} keys ({})", issuer.issuer, algorithms.join(", ")),
        }
    });
    issuers.collect::<Vec<_>>().join("; ")
}

/// Prints a first call to copy.
fn first_call(out: &mut impl Write, greeting: &Greeting) -> io::Result<()> {
    if greeting.served.token_endpoint && greeting.served.sample_api {
        let client = if greeting.built_in { "demo:demo-secret" } else { "CLIENT_ID:CLIENT_SECRET" };
        let provider = match greeting.providers.as_slice() {
            [_] => String::new(),
            several => format!("?provider={}", several.first().map_or("NAME", |provider| &provider.name)),
        };
        let url = &greeting.url;
        writeln!(out, "\nA first call:\n")?;
        writeln!(
            out,
            "  TOKEN=$(curl -s '{url}/token{provider}' -u {client} -d grant_type=client_credentials -d scope=items | \
             sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
        )?;
        writeln!(out, "  curl {url}/items -H \"Authorization: Bearer $TOKEN\"\n")?;
    }
    if greeting.served.docs {
        writeln!(out, "The documentation, where it can be tried out: {}/docs\n", greeting.url)?;
    }
    Ok(())
}
