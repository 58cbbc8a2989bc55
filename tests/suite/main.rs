//! How scopegate behaves: the real program, over real HTTP, with real tokens.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation fails the test"
)]

mod accept_token;
mod admin;
mod attacks;
mod commands;
mod cors;
mod dependencies;
mod docs;
mod documentation;
mod durability;
mod emulation;
mod examples;
mod exchanges;
mod faults;
mod floods;
mod forward_auth;
mod grpc;
mod init;
mod inspect;
mod items;
mod live;
mod log;
mod metadata;
mod metrics;
mod mint;
mod nodes;
mod openapi;
mod operator_page;
mod parity;
mod policy_change;
mod provider_examples;
mod proxy;
mod public_api;
mod reload;
mod revocation;
mod secrecy;
mod signals;
mod staleness;
mod streams;
mod structure;
mod support;
mod systemd;
mod threats;
mod traces;
mod tutorial;
mod websocket;
