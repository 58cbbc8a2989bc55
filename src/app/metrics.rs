//! `/metrics`: what was counted, and how things stand now.

use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use http::header;
use poem::{Endpoint, Response, Result};
use rustix::process::{Resource, getrlimit};
use scopegate_provider::{HealthReport, IssuerHealth, Timestamp};

use super::{Node, readiness::readiness};
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
    node.runtime.metrics.write(&mut page);
    tokens(&mut page, node);
    let reports = reports(node);
    providers(&mut page, &reports);
    keys(&mut page, &reports, node.runtime.clock.now());
    status_lists(&mut page, node);
    spans(&mut page, node);
    process(&mut page, node);
    page
}

fn tokens(page: &mut Exposition, node: &Node) {
    let verified = &node.runtime.tokens;
    let revocations = node.runtime.store.revocation_index();
    let help = "Verified tokens that are kept, expired ones that nothing has replaced yet included.";
    page.single("scopegate_verified_tokens", Kind::Gauge, help, verified.count());
    let help = "Tokens that were looked for among the verified ones.";
    let mut lookups = page.family("scopegate_verified_token_lookups_total", Kind::Counter, help);
    lookups.sample(&[("outcome", "hit")], verified.hits());
    lookups.sample(&[("outcome", "miss")], verified.misses());
    page.single("scopegate_revocations", Kind::Gauge, "Revocations in force.", revocations.len());
    let store = &node.runtime.store;
    let ignored = store.unreadable().len() + node.current().rejected.len();
    let help =
        "Stored entries that are ignored, because they cannot be read or conflict with the configuration.";
    page.single("scopegate_store_ignored_entries", Kind::Gauge, help, ignored);
    let writable = u8::from(store.write_failure().is_none());
    page.single("scopegate_store_writable", Kind::Gauge, "Whether the store takes writes.", writable);
    if node.boot_config().store.is_some() {
        let help = "Time of the last answer of the store, in seconds.";
        page.single("scopegate_store_latency_seconds", Kind::Gauge, help, store.latency().as_secs_f64());
        let help = "Time since the store answered last, in seconds.";
        page.single("scopegate_store_silence_seconds", Kind::Gauge, help, store.silence().as_secs_f64());
    }
}

/// The name of each provider that can say how it is, and what it says.
fn reports(node: &Node) -> Vec<(String, HealthReport)> {
    let generation = node.current();
    let report = |connection: &super::Connection| {
        let health = connection.connected.provider().health()?;
        Some((connection.name().to_string(), health.report()))
    };
    generation.connections.iter().filter_map(report).collect()
}

fn providers(page: &mut Exposition, reports: &[(String, HealthReport)]) {
    let help = "Whether the provider can judge tokens.";
    let mut ready = page.family("scopegate_provider_ready", Kind::Gauge, help);
    for (name, report) in reports {
        ready.sample(&[("provider", name)], u8::from(report.ready));
    }
    let asked = || reports.iter().filter_map(|(name, report)| Some((name, report.introspections?)));
    let help = "Time of introspections that the provider answered.";
    let mut answered = page.family("scopegate_introspection_seconds", Kind::Summary, help);
    for (name, went) in asked() {
        let sum = Duration::from_millis(went.answered_ms).as_secs_f64();
        answered.summary(&[("provider", name)], went.answered, sum);
    }
    let help = "Introspections without an answer that could be used.";
    let mut failed = page.family("scopegate_introspection_failures_total", Kind::Counter, help);
    for (name, went) in asked() {
        failed.sample(&[("provider", name)], went.failed);
    }
}

fn keys(page: &mut Exposition, reports: &[(String, HealthReport)], now: Timestamp) {
    let issuers = || {
        reports.iter().flat_map(|(name, report)| report.issuers.iter().map(|issuer| (name.as_str(), issuer)))
    };
    let help = "Fetches of an issuer's keys.";
    let mut refreshes = page.family("scopegate_key_refreshes_total", Kind::Counter, help);
    for (provider, issuer) in issuers() {
        let labels =
            |outcome| [("provider", provider), ("issuer", issuer.issuer.as_str()), ("outcome", outcome)];
        refreshes.sample(&labels("good"), issuer.refreshes);
        refreshes.sample(&labels("bad"), issuer.failed_refreshes);
    }
    let mut gauge = |name, help, value: &dyn Fn(&IssuerHealth) -> Option<f64>| {
        let mut family = page.family(name, Kind::Gauge, help);
        for (provider, issuer) in issuers() {
            if let Some(value) = value(issuer) {
                family.sample(&[("provider", provider), ("issuer", issuer.issuer.as_str())], value);
            }
        }
    };
    let age = |issuer: &IssuerHealth| Some(now.since(issuer.last_refresh?).as_secs_f64());
    gauge("scopegate_key_age_seconds", "Time since an issuer's keys were fetched.", &age);
    let known = |issuer: &IssuerHealth| u32::try_from(issuer.keys.len()).ok().map(f64::from);
    gauge("scopegate_keys", "Keys of an issuer that are known.", &known);
}

fn status_lists(page: &mut Exposition, node: &Node) {
    let generation = node.current();
    let lists = generation.connections.iter().filter_map(|connection| {
        let health = connection.connected.provider().health()?;
        Some((connection.name().as_str(), health.status_lists()?))
    });
    let lists: Vec<_> = lists.collect();
    let help = "Fetches of status lists; a bad one brought no list that holds.";
    let mut fetches = page.family("scopegate_status_list_fetches_total", Kind::Counter, help);
    for (provider, lists) in &lists {
        fetches.sample(&[("provider", provider), ("outcome", "good")], lists.fetched);
        fetches.sample(&[("provider", provider), ("outcome", "bad")], lists.failed);
    }
    let help = "Tokens that were accepted though their status is of an unknown mechanism only.";
    let mut unknown = page.family("scopegate_status_unknown_total", Kind::Counter, help);
    for (provider, lists) in &lists {
        unknown.sample(&[("provider", provider)], lists.unknown_mechanisms);
    }
}

fn spans(page: &mut Exposition, node: &Node) {
    let Some(spans) = &node.frontend.0.spans else { return };
    let help = "Spans of requests, by what became of them: dropped where the queue was full, failed at the collector.";
    let mut family = page.family("scopegate_spans_total", Kind::Counter, help);
    let counts = spans.counts();
    for (outcome, count) in
        [("exported", &counts.exported), ("dropped", &counts.dropped), ("failed", &counts.failed)]
    {
        family.sample(&[("outcome", outcome)], count.load(Ordering::Relaxed));
    }
}

fn process(page: &mut Exposition, node: &Node) {
    let ready = u8::from(readiness(node).ready);
    page.single("scopegate_ready", Kind::Gauge, "Whether this node can decide, as /readyz says.", ready);
    let mut build = page.family("scopegate_build_info", Kind::Gauge, "Which scopegate this is.");
    build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = Duration::from_millis(u64::try_from(node.frontend.0.started.millis()).unwrap_or_default());
    let help = "When this node started, in seconds since 1970.";
    page.single("process_start_time_seconds", Kind::Gauge, help, started.as_secs_f64());
    usage(page);
}

/// Writes what the system tells of the process, by the names that Prometheus clients use.
fn usage(page: &mut Exposition) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, label, help) in [
        ("process_resident_memory_bytes", "VmRSS:", "Memory of the process in the machine, in bytes."),
        ("process_virtual_memory_bytes", "VmSize:", "Addresses of the process, in bytes."),
    ] {
        let line = status.lines().find_map(|line| line.strip_prefix(label));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        if let Some(kilobytes) = kilobytes {
            page.single(name, Kind::Gauge, help, kilobytes * 1024);
        }
    }
    if let Some(seconds) = processor_seconds() {
        let help = "Time of the processors in the process, in seconds.";
        page.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.single("process_open_fds", Kind::Gauge, "Open files.", files.count());
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        page.single("process_max_fds", Kind::Gauge, "Open files that the system allows.", most);
    }
}

/// Returns the processor time of the process: user and system time, the 14th and 15th field of `stat`.
fn processor_seconds() -> Option<f64> {
    /// Ticks in a second, as the kernel counts them towards programs on every architecture.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS)
}
