//! The threats page names tests that exist.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = include_str!("../../src/manual/threats.md");

/// Returns the tests that the page names as `file.rs: name`, the file from the root of the repository.
fn named() -> Vec<(&'static str, &'static str)> {
    let spans = PAGE.split('`').skip(1).step_by(2);
    spans.filter_map(|span| span.split_once(".rs: ").map(|(file, name)| (file, name.trim()))).collect()
}

/// A25: each claim of the page names tests that run.
#[test]
fn every_test_that_the_threats_page_names_exists() {
    let named = named();
    assert!(named.len() > 50, "the page names {} tests only", named.len());
    let mut missing = Vec::new();
    for (file, name) in named {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_default();
        if !tests(&source).contains(name) {
            missing.push(format!("{file}.rs: {name}"));
        } else if !is_compiled(&path) {
            missing.push(format!("{file}.rs: {name} (no module declares the file)"));
        }
    }
    assert!(missing.is_empty(), "the threats page names tests that do not exist:\n{}", missing.join("\n"));
}

/// Returns the names of the functions in a source that carry an attribute `test`.
fn tests(source: &str) -> HashSet<&str> {
    let mut names = HashSet::new();
    let mut attributes = String::new();
    let mut is_open = false;
    for line in source.lines().map(str::trim) {
        if is_open || line.starts_with("#[") {
            attributes.push_str(line);
            is_open = attributes.matches('[').count() > attributes.matches(']').count();
            continue;
        }
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some((name, _)) = function.and_then(|function| function.split_once('('))
            && is_test(&attributes)
        {
            names.insert(name);
        }
        attributes.clear();
    }
    names
}

/// Returns `true` if one of these attributes makes a function a test.
fn is_test(attributes: &str) -> bool {
    attributes.split("#[").any(|attribute| {
        let path = attribute.split(['(', ']']).next().unwrap_or_default();
        path == "test" || path.ends_with("::test")
    })
}

/// Returns `true` if the file is the root of a crate, or its parent declares it as a module.
fn is_compiled(path: &Path) -> bool {
    let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
    let is_root = matches!(stem, "lib" | "main") || folder.ends_with("tests");
    let (module, folder) = match stem {
        "mod" => (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap()),
        _ => (stem, folder),
    };
    let names = ["mod.rs", "lib.rs", "main.rs"].map(|name| folder.join(name));
    let parents = names.into_iter().chain([folder.with_extension("rs")]);
    let declaration = format!("mod {module};");
    let declares = |parent: PathBuf| {
        let source = fs::read_to_string(&parent).unwrap_or_default();
        let mut lines = source.lines().map(str::trim);
        lines.any(|line| line == declaration || line.ends_with(&format!(" {declaration}")))
    };
    is_root || parents.into_iter().any(declares)
}

#[test]
fn finds_tests_and_nothing_else() {
    let source = "
        // fn in_a_comment()
        #[test]
        /// Documented.
        fn plain() {}
        #[tokio::test(
            flavor = \"multi_thread\"
        )]
        async fn awaits() {}
        #[cfg(test)]
        fn helper() {}
        fn text() { \"fn plain_text()\" }
    ";
    assert_eq!(tests(source), HashSet::from(["plain", "awaits"]));
}

#[test]
fn every_invariant_is_shown_on_the_threats_page() {
    let shown: HashSet<usize> = named().into_iter().filter_map(|(_, name)| invariant(name)).collect();
    let missing: Vec<usize> = (1..=17).filter(|number| !shown.contains(number)).collect();
    assert!(missing.is_empty(), "no test of the invariants {missing:?} is named");
}

/// The number in `invariant_N_…`.
fn invariant(name: &str) -> Option<usize> {
    name.strip_prefix("invariant_")?.split('_').next()?.parse().ok()
}
