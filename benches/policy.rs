//! What the policy costs on the way of a request: parsing a target, finding its route, asking the rule.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails stops")]
#![expect(clippy::print_stdout, reason = "a benchmark says what it found")]

use std::{fs, hint::black_box};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Method;
use scopegate::policy::{Definition, Policy, RawTarget, Scheme, Target, diff::compare};
use serde_json::json;

fn target(path: &str) -> Target {
    let path_and_query = path.as_bytes();
    let method = &Method::GET;
    Target::parse(RawTarget {
        method,
        scheme: Scheme::Https,
        authority: None,
        hosts: ["api.example.com"],
        path_and_query,
    })
    .unwrap()
}

fn definition(routes: usize) -> Definition {
    definition_with(routes, |_| "authenticated")
}

fn definition_with(routes: usize, allow: impl Fn(usize) -> &'static str) -> Definition {
    let mut definition = Definition::default();
    for index in 0..routes {
        let (service, kind) = (index / 100, index % 100);
        let pattern = match index % 4 {
            0 => format!("GET /service-{service}/kind-{kind}/{{id}}"),
            1 => format!("POST /service-{service}/kind-{kind}/{{id}}/parts/{{part}}"),
            2 => format!("GET /service-{service}/kind-{kind}/**"),
            _ => format!("GET host-{service}.example.com/kind-{kind}"),
        };
        definition
            .add_route(serde_json::from_value(json!({ "match": pattern, "allow": allow(index) })).unwrap());
    }
    definition
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("target");
    for (name, path) in [
        ("short", "/items/1"),
        ("long", "/service-1/kind-12/0f0f0f0f-0000-4000-8000-000000000001/parts/17?limit=10&after=20"),
        ("encoded", "/service-1/caf%C3%A9/%7Euser/a%20b"),
        ("irregular", "/projects/group%2Fname/files//a;v=1"),
    ] {
        group.bench_function(name, |b| b.iter(|| target(black_box(path))));
    }
    group.finish();
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("look-up");
    for routes in [10, 1_000, 100_000] {
        let policy = Policy::compile(&definition(routes)).unwrap().policy;
        for (name, path) in [
            ("parameter", "/service-0/kind-4/17"),
            ("rest", "/service-0/kind-6/a/b/c/d"),
            ("none", "/service-0/other/17"),
        ] {
            let target = target(path);
            group.bench_with_input(BenchmarkId::new(name, routes), &target, |b, target| {
                b.iter(|| policy.decide(black_box(target), None));
            });
        }
    }
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for routes in [1_000, 100_000] {
        let definition = definition(routes);
        group.bench_with_input(BenchmarkId::from_parameter(routes), &definition, |b, definition| {
            b.iter(|| Policy::compile(black_box(definition)).unwrap());
        });
    }
    group.finish();
}

/// 10,000 routes against 10,000 with 50 changes: 200 ms and 200 MB are asked.
fn diff(c: &mut Criterion) {
    let changed =
        definition_with(10_000, |index| if index % 200 == 0 { "anonymous" } else { "authenticated" });
    let old = Policy::compile(&definition(10_000)).unwrap().policy;
    let new = Policy::compile(&changed).unwrap().policy;
    let mut group = c.benchmark_group("diff");
    group.sample_size(10);
    group.bench_function("50 of 10000", |b| b.iter(|| compare(black_box(&old), black_box(&new), &[])));
    group.finish();
    let found = compare(&old, &new, &[]).gains.len();
    println!("diff: {found} gains, {} MB at the peak, both policies included", peak_memory());
}

/// The most memory that this process has had, in MB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024 / 1_000_000
}

// The difference comes first: the memory that it takes at most is not to be that of 100,000 routes.
criterion_group!(benches, diff, parse, look_up, compile);
criterion_main!(benches);
