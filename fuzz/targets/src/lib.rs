//! What is fuzzed, and what must hold of it, as plain functions: libFuzzer calls them by way of `fuzz/fuzz_targets`, and a
//! test of this crate on the corpus and on mutations of it. What does not hold panics. A target says whether its bytes were
//! taken, so that a test can tell a corpus that reaches nothing.
//!
//! | target | its bytes | what must hold |
//! | --- | --- | --- |
//! | [`target()`] | method, hosts, path | normalising twice changes nothing; a server that reads the path in another way serves nothing that the policy would deny |
//! | [`policy()`] | routes, rules, requests | a pattern reads as it prints; the tree finds what a search finds; one scope more never permits more; what is stored never loosens the file |
//! | [`authorization()`] | values of `Authorization` | there is one token, and it is what was sent, or there is none |
//! | [`jwt()`] | a token, or header and claims to be signed | what verifies here verifies by jsonwebtoken too; issuer, audience and time are the expected ones |
//! | [`key_set()`] | a key set | no symmetric, private or unnamed key is ever used |
//! | [`discovery()`] | a discovery document | it speaks for its issuer, and names nothing that is reached by plain http |
//! | [`introspection()`] | the status and body of an answer | only `200` with `"active": true`, the issuer, the audience and the time makes a principal |
//! | [`configuration()`] | YAML | what loads opens nothing that it does not say to open; every error has a place that is there |
//! | [`nginx()`], [`traefik()`], [`caddy()`], [`envoy()`], [`haproxy()`] | a request of a proxy | the whole set of headers is there, once; as for [`target()`]; a refusal is never relayed as success |
//! | [`framing()`] | the bytes of an HTTP/1.1 connection | hyper finds no message where the framing check finds none, and no body has two lengths or a coding other than `chunked` |
//! | [`envoy_grpc()`] | a `CheckRequest` | it can be read and says nothing in two ways; as for [`target()`]; the upstream is told who calls |
//!
//! A target is a function, a line in [`ALL`], a file of three lines in `fuzz/fuzz_targets` with its lines in
//! `fuzz/Cargo.toml`, and a folder in `fuzz/corpus`; a test tells what of it is missing.
#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation is what fuzzing looks for"
)]

mod authorization;
mod claims;
mod configuration;
mod discovery;
mod envoy_grpc;
mod forward_auth;
mod framing;
mod introspection;
mod jwt;
mod key_set;
mod policy;
mod servers;
mod target;

pub use self::{
    authorization::authorization,
    configuration::configuration,
    discovery::discovery,
    envoy_grpc::envoy_grpc,
    forward_auth::{caddy, envoy, haproxy, nginx, traefik},
    framing::framing,
    introspection::introspection,
    jwt::jwt,
    key_set::key_set,
    policy::policy,
    target::target,
};

/// A target: its name, and what is done with the bytes, which says whether they were taken for what they want to be.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every target.
pub const ALL: [Target; 15] = [
    ("authorization", authorization),
    ("caddy", caddy),
    ("configuration", configuration),
    ("discovery", discovery),
    ("envoy", envoy),
    ("envoy_grpc", envoy_grpc),
    ("framing", framing),
    ("haproxy", haproxy),
    ("introspection", introspection),
    ("jwt", jwt),
    ("key_set", key_set),
    ("nginx", nginx),
    ("policy", policy),
    ("target", target),
    ("traefik", traefik),
];
