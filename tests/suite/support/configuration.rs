//! What many configurations of the tests hold alike.

/// The configuration of a server that needs nobody beside it: it keeps everything in memory, and its own issuer gives the
/// client `demo` (secret `demo-secret`) tokens with this scope. `server` is what the section of this name holds besides
/// where it listens, and `rest` is everything else.
pub(crate) fn with_issuer(server: &str, scope: &str, rest: &str) -> String {
    format!(
        r#"
server: {{ listen: 127.0.0.1:0, {server} }}
operations: {{ listen: 127.0.0.1:0 }}
token_endpoint: true
store: {{ url: "memory:" }}
providers:
  local:
    kind: dev
    listen: 127.0.0.1:0
    audience: https://api.example
    clients: [ {{ id: demo, secret: demo-secret, scopes: [{scope}] }} ]
{rest}"#
    )
}
