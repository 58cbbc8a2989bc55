//! The settings that a reload cannot change. The log names them, so that no operator takes them for done.

use crate::{config::Config, server::Limits};

/// The keys that hold something else than when the program was started, and are in force only after a restart.
pub(super) fn waiting(started: &Config, now: &Config) -> Vec<&'static str> {
    let before = &started.server;
    let after = &now.server;
    let changed = [
        ("server.listen", before.listen != after.listen),
        ("server.public_url", before.public_url != after.public_url),
        ("server.tls", before.tls != after.tls),
        ("server.limits", limits_of_connections(started) != limits_of_connections(now)),
        ("server.shutdown_delay", before.shutdown_delay != after.shutdown_delay),
        ("server.shutdown_grace", before.shutdown_grace != after.shutdown_grace),
        ("operations.listen", started.operations != now.operations),
        ("admin.listen", started.admin_listen() != now.admin_listen()),
        ("forward_auth.grpc_listen", started.forward_auth.grpc_listen != now.forward_auth.grpc_listen),
        ("forward_auth.grpc_tls", started.forward_auth.grpc_tls != now.forward_auth.grpc_tls),
        ("store", started.store != now.store),
        ("cache.tokens", started.cache != now.cache),
        ("telemetry.log", log_format(started) != log_format(now)),
        ("telemetry.traces", traces(started) != traces(now)),
    ];
    changed.into_iter().filter(|(_, is)| *is).map(|(key, _)| key).collect()
}

/// Returns the limits without that of tokens, which is in force at once.
fn limits_of_connections(config: &Config) -> Limits {
    Limits { token: Limits::default().token, ..config.server.limits.clone() }
}

fn log_format(config: &Config) -> impl PartialEq {
    let log = &config.telemetry.log;
    (log.level.clone(), log.format)
}

/// Returns the settings of the traces; secrets are compared by their text.
fn traces(config: &Config) -> impl PartialEq {
    let traces = &config.telemetry.traces;
    let headers = traces.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    (traces.endpoint.clone(), traces.protocol, traces.sample, headers.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSource, Loader};

    fn config(text: &str) -> Config {
        let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text: text.to_owned() };
        Loader::new().without_environment().load(&source).unwrap()
    }

    fn waiting_for(text: &str) -> Vec<&'static str> {
        waiting(&config("store: { url: 'memory:' }"), &config(text))
    }

    #[test]
    fn keys_that_are_read_at_the_start_only_are_named() {
        let changed = "
            server: { trusted_proxies: [10.0.0.0/8], listen: 127.0.0.1:1, shutdown_grace: 1s, limits: { connections: 5 } }
            operations: { listen: 127.0.0.1:2 }
            forward_auth: { grpc_listen: 127.0.0.1:3 }
            store: { url: sqlite://other.db }
            cache: { tokens: 5 }
            telemetry: { log: { level: debug } }";
        let keys = ["server.listen", "server.limits", "server.shutdown_grace", "operations.listen"];
        let others = ["forward_auth.grpc_listen", "store", "cache.tokens", "telemetry.log"];
        assert_eq!(waiting_for(changed), [keys, others].concat());
    }

    #[test]
    fn what_is_in_force_at_once_waits_for_nothing() {
        let changed = "
            server: { limits: { token: 1KiB }, request_id: X-Id, trusted_proxies: [10.0.0.0/8] }
            store: { url: 'memory:' }
            docs: true
            telemetry: { audit: { retention: 1d } }
            routes: [ { match: /a, allow: nobody } ]";
        assert_eq!(waiting_for(changed), [""; 0]);
    }
}
