//! The manual: for those who run scopegate, and for those who read its code. The first steps are in the README; every key
//! is in `config/scopegate.yaml`.
//!
//! | page | says |
//! | --- | --- |
//! | [`install`] | how to install it: package, archive, source, container, systemd |
//! | [`kubernetes`] | how to run it on Kubernetes |
//! | [`proxies`] | how to put it behind nginx, Caddy, Traefik, Envoy or HAProxy |
//! | [`mcp`] | how to put it in front of an MCP server |
//! | [`runbook`] | what to do when something is wrong: three cards, and an entry for each alert |
//! | [`operations`] | upgrade, backup, restore, moving to another database |
//! | [`sizing`] | what it needs, and where it ends |
//! | [`architecture`] | how the code is structured, the way of a request, and the reasons |
//! | [`threats`] | each attack, the design that stops it, and the test that shows it |
//! | [`reasons`] | each reason of a refusal or failure, its status and what to do |
//! | [`providers`] | how to write a provider |
//! | [`dependencies`] | each dependency: the reason for it, its licence, what is known against it |

#[doc = include_str!("install.md")]
pub mod install {}

#[doc = include_str!("kubernetes.md")]
pub mod kubernetes {}

/// The proxy's side of forward-auth: for each proxy the pieces for an existing configuration, and a complete file.
///
/// What all of them have in common: the proxy asks scopegate about each request and sends it on only if scopegate permits
/// it. scopegate answers only to addresses in `server.trusted_proxies`, or to a client certificate over gRPC.
pub mod proxies {
    #[doc = include_str!("proxies/nginx.md")]
    #[doc = "```text"]
    #[doc = include_str!("proxies/nginx.conf")]
    #[doc = "```"]
    pub mod nginx {}

    #[doc = include_str!("proxies/caddy.md")]
    #[doc = "```text"]
    #[doc = include_str!("proxies/Caddyfile")]
    #[doc = "```"]
    pub mod caddy {}

    #[doc = include_str!("proxies/traefik.md")]
    #[doc = "```text"]
    #[doc = include_str!("proxies/traefik.yaml")]
    #[doc = "```"]
    pub mod traefik {}

    #[doc = include_str!("proxies/envoy.md")]
    #[doc = "Over gRPC:\n\n```text"]
    #[doc = include_str!("proxies/envoy-grpc.yaml")]
    #[doc = "```\n\nOver HTTP:\n\n```text"]
    #[doc = include_str!("proxies/envoy.yaml")]
    #[doc = "```"]
    pub mod envoy {}

    #[doc = include_str!("proxies/haproxy.md")]
    #[doc = "```text"]
    #[doc = include_str!("proxies/haproxy.cfg")]
    #[doc = "```\n\nAnd `haproxy.lua`:\n\n```text"]
    #[doc = include_str!("proxies/haproxy.lua")]
    #[doc = "```"]
    pub mod haproxy {}
}

#[doc = include_str!("mcp.md")]
pub mod mcp {}

#[doc = include_str!("runbook.md")]
pub mod runbook {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("sizing.md")]
pub mod sizing {}

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("reasons.md")]
pub mod reasons {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("dependencies.md")]
pub mod dependencies {}
