//! The page of dependencies says what the manifests and the lock file say.
#![cfg(target_os = "linux")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

const PAGE: &str = include_str!("../../src/manual/dependencies.md");

/// Their dependencies do not ship.
const TESTING: [&str; 3] = ["scopegate-compare", "scopegate-fuzz-targets", "scopegate-testkit"];

fn cargo(arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// Every crate that is built for this system, by name: its versions and its licence.
fn built() -> BTreeMap<String, (BTreeSet<String>, String)> {
    let format = ["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"];
    let tree = cargo(&[&["tree", "--workspace", "--edges", "normal,build,dev"], &format[..]].concat());
    let mut built = BTreeMap::<String, (BTreeSet<String>, String)>::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, licence) = line.split_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        let (versions, known) = built.entry(name.to_owned()).or_default();
        versions.insert(version.to_owned());
        licence.clone_into(known);
    }
    built
}

/// What the manifests name, own crates left out: what ships, and what only builds and tests.
fn direct() -> (BTreeSet<String>, BTreeSet<String>) {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let (mut ships, mut tests) = (BTreeSet::new(), BTreeSet::new());
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["path"].is_null() {
                let testing =
                    TESTING.contains(&package["name"].as_str().unwrap()) || !dependency["kind"].is_null();
                let name = dependency["name"].as_str().unwrap().to_owned();
                if testing {
                    tests.insert(name)
                } else {
                    ships.insert(name)
                };
            }
        }
    }
    let tests = tests.difference(&ships).cloned().collect();
    (ships, tests)
}

/// The rows of the page's table under a heading, each by its cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) =
        PAGE.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    section.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn listed(heading: &str) -> BTreeSet<String> {
    rows(heading).iter().flat_map(|cells| names(cells[0])).collect()
}

fn same(what: &str, page: &BTreeSet<String>, found: &BTreeSet<String>) {
    let missing: Vec<_> = found.difference(page).collect();
    let gone: Vec<_> = page.difference(found).collect();
    assert!(missing.is_empty(), "{what}: src/manual/dependencies.md lacks {missing:?}");
    assert!(gone.is_empty(), "{what}: src/manual/dependencies.md still lists {gone:?}");
}

#[test]
fn every_direct_dependency_is_listed_with_its_reason_and_licence() {
    let (ships, tests) = direct();
    same("what ships", &listed("What ships"), &ships);
    same("what only builds and tests", &listed("What only builds and tests"), &tests);
    let built = built();
    for cells in [rows("What ships"), rows("What only builds and tests")].concat() {
        let name = names(cells[0]).next().unwrap();
        assert_eq!(cells[1], built[&name].1, "the licence of {name}");
        assert!(!cells[2].is_empty(), "{name} has no reason");
    }
}

#[test]
fn every_crate_that_is_there_twice_is_explained() {
    let twice = built().into_iter().filter(|(_, (versions, _))| versions.len() > 1);
    same("in two versions", &listed("In two versions"), &twice.map(|(name, _)| name).collect());
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let settings = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.deny.toml")).unwrap();
    let (_, allowed) = settings.split_once("\nallow = [\n").unwrap();
    let allowed: Vec<&str> = allowed.split(']').next().unwrap().split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains(&"MIT"), "{allowed:?}");
    let built = built();
    assert!(built.len() > 100, "only {} crates are built", built.len());
    for (name, (_, licence)) in built {
        assert!(is_allowed(&licence, &allowed), "{name} has the licence {licence:?}");
    }
}

/// Whether an SPDX expression, or the older notation with slashes, can be satisfied by licences that are allowed.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let joined = spaced.replace(" WITH ", "+WITH+");
    let mut words = joined.split_whitespace().peekable();
    let holds = either(&mut words, allowed);
    words.next().is_none() && holds == Some(true)
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

/// Nothing where it is no expression.
fn either(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    let mut holds = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        holds |= both(words, allowed)?;
    }
    Some(holds)
}

fn both(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    let mut holds = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed)?;
    }
    Some(holds)
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> Option<bool> {
    match words.next()? {
        "(" => {
            let holds = either(words, allowed)?;
            (words.next() == Some(")")).then_some(holds)
        }
        name => Some(allowed.contains(&name.replace("+WITH+", " WITH ").as_str())),
    }
}

#[test]
fn licences_are_read_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"];
    for good in
        ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND MIT", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "MIT OR",
        "(MIT",
        "MIT MIT",
        "GPL-3.0 OR MIT AND GPL-3.0",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

/// Every requirement names the version in the lock file, so that each build and test is also the check of the
/// lowest versions that the manifests allow.
#[test]
fn requirements_name_the_versions_that_are_tested() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let mut wrong = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if !dependency["path"].is_null() {
                continue;
            }
            let name = dependency["name"].as_str().unwrap();
            let lowest = dependency["req"].as_str().unwrap().trim_start_matches(['^', '=']);
            let locked = format!("name = \"{name}\"\nversion = \"{lowest}");
            // A version of the lock file may have build metadata behind it.
            let mut found = lock.match_indices(&locked).map(|(at, _)| &lock[at + locked.len()..]);
            if !found.any(|rest| rest.starts_with(['"', '+'])) {
                wrong.insert(format!("{name} {lowest}"));
            }
        }
    }
    assert!(wrong.is_empty(), "write the version of Cargo.lock for these in Cargo.toml: {wrong:?}");
}
