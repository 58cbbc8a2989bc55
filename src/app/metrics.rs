//! `/metrics`: what was counted, and how things stand now.

use std::{sync::Weak, time::Duration};

use http::header;
use poem::{Endpoint, Response, Result};

use super::Node;
use crate::telemetry::metrics::{Exposition, Kind};

/// `GET /metrics`, of a node for as long as there is one.
pub(super) struct Scrape(pub(super) Weak<Node>);

impl Endpoint for Scrape {
    type Output = Response;

    async fn call(&self, _: poem::Request) -> Result<Response> {
        let page = self.0.upgrade().map(|node| page(&node)).unwrap_or_default();
        Ok(Response::builder().header(header::CONTENT_TYPE, Exposition::CONTENT_TYPE).body(page.into_text()))
    }
}

fn page(node: &Node) -> Exposition {
    let mut page = Exposition::default();
    node.fixed.metrics.write(&mut page);
    process(&mut page, node);
    page
}

fn process(page: &mut Exposition, node: &Node) {
    let mut build = page.family("scopegate_build_info", Kind::Gauge, "Which scopegate this is.");
    build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = Duration::from_millis(u64::try_from(node.fixed.started.millis()).unwrap_or_default());
    let help = "When this node started, in seconds since 1970.";
    page.single("process_start_time_seconds", Kind::Gauge, help, started.as_secs_f64());
}
