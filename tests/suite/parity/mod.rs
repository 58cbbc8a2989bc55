//! One decision everywhere: the same generated requests, byte for byte, through every front.
//!
//! ```sh
//! cargo test --test suite parity -- --nocapture                                                # the few thousand of every run
//! SCOPEGATE_PARITY_CASES=100000 SCOPEGATE_PARITY_SEED=7 cargo test --test suite parity -- --nocapture
//! SCOPEGATE_PARITY_ONLY=4711 cargo test --test suite parity -- --nocapture                    # one case, and what each front did
//! ```
//!
//! Of each request two things must hold. Whatever reached a service, the policy permits it for that caller under every
//! way in which a service may read it, and what the service is told about the caller is true: judged by a model that
//! shares no code with scopegate. And every front decides as the first one does, save where a real proxy is known to
//! refuse or rewrite by itself before it asks ([`Front::own_ways`]).

mod case;
mod driven;
mod front;
mod generate;
mod judge;
mod model;
mod over_grpc;
mod service;
mod tricks;
mod wire;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::runtime::Runtime;

use self::{
    case::{Case, Oddity},
    driven::{ENVOY, TRAEFIK, driven},
    front::{Front, Outcome, middleware, proxy, proxy_over_http2, real, tower},
    generate::Tokens,
    over_grpc::envoy_over_grpc,
    service::Seen,
};
use crate::{
    forward_auth::{CADDY, HAPROXY, NGINX},
    support::{Client, Issuer, Server},
};

/// Starts a front.
type Start = fn(&Scene) -> Box<dyn Front>;

/// Every front. Those that follow are compared with the first.
const FRONTS: &[(&str, Start)] = &[
    ("reverse proxy", |scene| proxy(scene, "")),
    ("reverse proxy that strips", |scene| proxy(scene, "/p")),
    ("reverse proxy over HTTP/2", proxy_over_http2),
    ("middleware", middleware),
    ("tower layer", tower),
    ("nginx", |scene| real(scene, &NGINX, NGINX_WAYS)),
    ("Caddy", |scene| real(scene, &CADDY, CADDY_WAYS)),
    ("Traefik", |scene| driven(scene, &TRAEFIK)),
    ("Envoy", |scene| driven(scene, &ENVOY)),
    ("Envoy over gRPC", envoy_over_grpc),
    ("HAProxy", |scene| real(scene, &HAPROXY, HAPROXY_WAYS)),
];

/// nginx refuses methods in lower case, TRACE, CONNECT, some repeated fields and what it cannot resolve (`%00`, `..`
/// above the root); it takes whole URLs apart.
const NGINX_WAYS: &[Oddity] = &[
    Oddity::Method,
    Oddity::Form,
    Oddity::Fragment,
    Oddity::Characters,
    Oddity::Host,
    Oddity::Head,
    Oddity::Repeated,
    Oddity::Version,
];
/// Caddy takes whole URLs apart, encodes what should have been encoded, and takes off what `Connection` lists.
const CADDY_WAYS: &[Oddity] =
    &[Oddity::Form, Oddity::Fragment, Oddity::Characters, Oddity::Head, Oddity::Listed, Oddity::Version];

/// HAProxy takes one of two fields that say the same host or length, knows versions and framings of its own, and asks about
/// characters that are refused elsewhere before anybody asks. It takes no request for the beginning of HTTP/2.
const HAPROXY_WAYS: &[Oddity] = &[
    Oddity::Preface,
    Oddity::Form,
    Oddity::Characters,
    Oddity::Host,
    Oddity::Head,
    Oddity::Repeated,
    Oddity::Version,
];

/// How many requests of every run, and how many are sent before what came of them is looked at.
const CASES: u64 = 3000;
const BATCH: u64 = 2000;

/// How many callers each front has at once.
const CALLERS: usize = 3;

/// What all fronts share: an issuer, its tokens, and scopegate for the proxies that ask.
struct Scene {
    issuer: Issuer,
    tokens: Tokens,
    server: Option<Server>,
}

impl Scene {
    async fn set() -> Self {
        let clients = model::CLIENTS
            .iter()
            .map(|client| format!("{0}:{0}-secret:{1}", client.id, client.scopes.join(",")));
        let clients: Vec<String> = clients.collect();
        let arguments: Vec<&str> = clients.iter().flat_map(|client| ["--client", client.as_str()]).collect();
        let issuer = Issuer::start(&arguments);
        let tokens = tokens(&issuer).await;
        let mut scene = Self { issuer, tokens, server: None };
        let forward_auth = "server: { listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1/32] }\n\
             operations: { listen: 127.0.0.1:0 }\n\
             forward_auth: { dialects: [nginx, caddy, traefik, envoy, haproxy], grpc_listen: 127.0.0.1:0 }\n";
        scene.server = Some(Server::start(&(forward_auth.to_owned() + &scene.configuration("", ""))));
        scene
    }

    /// Providers, policy and identity; each path behind `prefix`, and `more` on every route.
    fn configuration(&self, prefix: &str, more: &str) -> String {
        format!(
            "store: {{ url: 'memory:' }}\ntelemetry: {{ log: {{ level: error }} }}\nidentity: {{ headers: {{ X-Auth-Subject: sub, X-Auth-Scopes: scope }} }}\n\
             providers:\n  local: {{ kind: oidc, issuer: '{}', audience: 'http://127.0.0.1:8080' }}\n{}",
            self.issuer.name,
            model::yaml(prefix, more)
        )
    }

    /// Where Envoy asks over gRPC.
    fn grpc(&self) -> String {
        self.server.as_ref().unwrap().grpc.clone()
    }

    /// Where proxies ask.
    fn scopegate(&self) -> String {
        self.server.as_ref().unwrap().url.trim_start_matches("http://").to_owned()
    }
}

async fn tokens(issuer: &Issuer) -> Tokens {
    let client = Client::new(&issuer.token);
    let ask = async |id: &str, more: &str| {
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={id}-secret{more}");
        client.form("", &form).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let mut good = Vec::new();
    for client in &model::CLIENTS {
        good.push(ask(client.id, "").await);
    }
    let (signed, _) = good[2].rsplit_once('.').unwrap();
    let (_, other_signature) = good[0].rsplit_once('.').unwrap();
    let mut bad = vec![format!("{signed}.{other_signature}"), "garbage".to_owned(), format!("{}x", good[1])];
    for fault in ["expired", "wrong_audience"] {
        bad.push(ask("chief", &format!("&fault={fault}")).await);
    }
    Tokens { good, bad }
}

/// What came of a case, front by front.
struct Trial<'s> {
    scene: &'s Scene,
    fronts: Vec<(&'static str, Box<dyn Front>)>,
    compared: BTreeMap<&'static str, u64>,
    passed: u64,
}

impl<'s> Trial<'s> {
    fn new(scene: &'s Scene) -> Self {
        let fronts = FRONTS.iter().map(|(name, front)| (*name, front(scene))).collect();
        Self { scene, fronts, compared: BTreeMap::new(), passed: 0 }
    }

    /// Sends all cases through all fronts; what was wrong, case by case.
    fn run(&mut self, cases: &[Case]) -> Vec<(Case, Vec<String>)> {
        let outcomes: Vec<Vec<Outcome>> = std::thread::scope(|scope| {
            let sent: Vec<_> =
                self.fronts.iter().map(|(_, front)| scope.spawn(|| send(&**front, cases))).collect();
            sent.into_iter().map(|outcomes| outcomes.join().unwrap()).collect()
        });
        let mut wrong: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (name, front) in &self.fronts {
            for seen in front.log().take() {
                if let Some((case, fault)) = self.unfit(&**front, &seen) {
                    wrong.entry(case).or_default().push(format!("{name}: {fault}: {seen:?}"));
                }
            }
        }
        for (index, case) in cases.iter().enumerate() {
            let first = &outcomes[0][index];
            let passed = matches!(first, Outcome::Passed(_));
            self.passed += u64::from(passed);
            if !passed && judge::must_pass(case, &self.scene.tokens) {
                wrong
                    .entry(case.number)
                    .or_default()
                    .push(format!("the policy permits it, and it was refused: {first:?}"));
            }
            for ((name, front), outcomes) in self.fronts.iter().zip(&outcomes) {
                let outcome = &outcomes[index];
                let fault = match (outcome, judge::compare(case, &**front, outcome, first)) {
                    (Outcome::Broken(what), _) => Some(what.clone()),
                    (_, Some(same)) => {
                        *self.compared.entry(name).or_default() += 1;
                        same.err()
                    }
                    (_, None) => None,
                };
                let told =
                    fault.map(|fault| format!("{name}: {fault}: {outcome:?}\n    but the first: {first:?}"));
                wrong.entry(case.number).or_default().extend(told);
            }
        }
        let mut faults = |case: &Case| wrong.remove(&case.number).filter(|faults| !faults.is_empty());
        let mut all: Vec<_> = cases.iter().filter_map(|case| Some((case.clone(), faults(case)?))).collect();
        // What a service saw of no known case was smuggled.
        all.extend(
            wrong.into_values().filter(|faults| !faults.is_empty()).map(|faults| (cases[0].clone(), faults)),
        );
        all
    }

    fn unfit(&self, front: &dyn Front, seen: &Seen) -> Option<(u64, String)> {
        let message = match seen {
            Seen::Request(message) => message,
            Seen::Ambiguous(_) => return Some((u64::MAX, "ambiguous".to_owned())),
        };
        let case = message
            .values("x-case")
            .first()
            .and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        let fault = judge::judge(message, front, &self.scene.tokens).err()?;
        Some((case.unwrap_or(u64::MAX), fault))
    }

    /// The smallest request that is wrong, and what is.
    fn shrink(&mut self, mut case: Case, mut faults: Vec<String>) -> (Case, Vec<String>) {
        while let Some(smaller) = case.smaller().into_iter().find_map(|case| self.run(&[case]).pop()) {
            (case, faults) = smaller;
        }
        (case, faults)
    }
}

/// Sends all cases through a front, some at a time.
fn send(front: &dyn Front, cases: &[Case]) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let mut outcomes: Vec<(usize, Outcome)> = std::thread::scope(|scope| {
        let call = || {
            let (mut line, mut outcomes) = (front.line(), Vec::new());
            loop {
                let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                let Some(case) = cases.get(index) else { return outcomes };
                outcomes.push((index, line.ask(case)));
            }
        };
        let callers: Vec<_> = (0..CALLERS.min(cases.len())).map(|_| scope.spawn(call)).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
fn invariant_5_every_front_decides_the_same_and_no_service_sees_what_the_policy_does_not_permit() {
    let scene = &Runtime::new().unwrap().block_on(Scene::set());
    let seed = setting("SCOPEGATE_PARITY_SEED").unwrap_or(1);
    let total = setting("SCOPEGATE_PARITY_CASES").unwrap_or(CASES);
    let mut trial = Trial::new(scene);
    if let Some(number) = setting("SCOPEGATE_PARITY_ONLY") {
        let case = generate::case(seed, number, &scene.tokens);
        println!("{case:?}");
        for (name, front) in &trial.fronts {
            println!("{name}: {:?}", send(&**front, std::slice::from_ref(&case)));
        }
        return;
    }
    println!("parity: SCOPEGATE_PARITY_SEED={seed} SCOPEGATE_PARITY_CASES={total}");
    for begin in (0..total).step_by(usize::try_from(BATCH).unwrap()) {
        let numbers = begin..total.min(begin + BATCH);
        let cases: Vec<Case> = numbers.map(|number| generate::case(seed, number, &scene.tokens)).collect();
        if let Some((case, faults)) = trial.run(&cases).into_iter().next() {
            let (smallest, faults) = trial.shrink(case.clone(), faults);
            panic!("seed {seed}, {case:?}\nsmallest {smallest:?}\n  {}", faults.join("\n  "));
        }
    }
    println!("{} passed; compared with the first: {:?}", trial.passed, trial.compared);
    if total >= CASES {
        assert!(trial.passed > total / 8, "only {} of {total} passed: most say nothing", trial.passed);
        let few = trial.compared.iter().find(|(_, compared)| **compared < total / 2);
        assert_eq!(few, None, "most of {total} were not compared");
    }
}
