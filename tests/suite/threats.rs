//! The threats page names tests that exist.

use std::{collections::HashSet, fs, path::Path};

const PAGE: &str = include_str!("../../src/manual/threats.md");

/// What the page names: `file.rs: name_of_a_test`, the file from the root of the repository.
fn named() -> Vec<(&'static str, &'static str)> {
    let spans = PAGE.split('`').skip(1).step_by(2);
    spans.filter_map(|span| span.split_once(".rs: ").map(|(file, name)| (file, name.trim()))).collect()
}

#[test]
fn every_test_that_the_threats_page_names_exists() {
    let named = named();
    assert!(named.len() > 50, "the page names {} tests only", named.len());
    let mut missing = Vec::new();
    for (file, name) in named {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        if !source.contains(&format!("fn {name}(")) {
            missing.push(format!("{file}.rs: {name}"));
        }
    }
    assert!(missing.is_empty(), "the threats page names tests that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_invariant_is_shown_on_the_threats_page() {
    let shown: HashSet<usize> = named().into_iter().filter_map(|(_, name)| invariant(name)).collect();
    let missing: Vec<usize> = (1..=16).filter(|number| !shown.contains(number)).collect();
    assert!(missing.is_empty(), "no test of the invariants {missing:?} is named");
}

/// The number in `invariant_N_…`.
fn invariant(name: &str) -> Option<usize> {
    name.strip_prefix("invariant_")?.split('_').next()?.parse().ok()
}
