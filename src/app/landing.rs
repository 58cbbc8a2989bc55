//! `/` of the operations listener: the state of the node, and links to what it serves.

use std::{sync::Weak, time::Duration};

use http::StatusCode;
use poem::{Endpoint, Request, Response, Result};

use super::{Node, readiness::readiness};
use crate::{
    api::admin::ui::{Landing, asset},
    config::Config,
    server::Listen,
};

/// The page of a node, for as long as the node exists.
pub(super) struct LandingPage(pub(super) Weak<Node>);

impl Endpoint for LandingPage {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let page = self.0.upgrade().map(|node| page(&node));
        Ok(page.unwrap_or_else(|| Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).finish()))
    }
}

/// The styles and icons of the page.
pub(super) struct LandingAssets;

impl Endpoint for LandingAssets {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let path = request.original_uri().path().trim_start_matches("/assets/");
        Ok(asset(path, request.headers()))
    }
}

fn page(node: &Node) -> Response {
    let readiness = readiness(node);
    let generation = node.current();
    let config = &generation.config;
    let shared = &node.frontend.0;
    let main = format!("{}{}", shared.public_endpoint.public_url, config.server.base_path);
    let up = node.runtime.clock.now().since(shared.started);
    let landing = Landing {
        ready: readiness.ready,
        reasons: readiness.reasons,
        degraded: readiness.degraded,
        node: shared.node_id.clone(),
        generation: node.runtime.metrics.good_reloads.count() + 1,
        uptime: shown(up),
        administration: administration(config, &main),
        docs: config.docs.then(|| format!("{main}/docs")),
    };
    landing.response()
}

/// Returns the address of the operator page, if it is served.
fn administration(config: &Config, main: &str) -> Option<String> {
    let admin = config.admin.as_ref().filter(|admin| admin.ui)?;
    match &admin.listen {
        None => Some(format!("{main}/admin/ui")),
        Some(Listen::Tcp(address)) => {
            let scheme = if config.server.tls.is_some() { "https" } else { "http" };
            Some(format!("{scheme}://{address}{}/admin/ui", config.server.base_path))
        }
        Some(Listen::Unix(_)) => None,
    }
}

/// Returns a duration in its largest unit.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60)];
    let largest = units.into_iter().find(|(_, length)| seconds >= *length);
    let (unit, count) = largest.map_or(("second", seconds), |(unit, length)| (unit, seconds / length));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_its_largest_unit() {
        for (seconds, text) in [(1, "1 second"), (59, "59 seconds"), (3_700, "1 hour"), (200_000, "2 days")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
