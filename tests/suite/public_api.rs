//! The names that programs and providers depend on change only on purpose: they are listed in `tests/data/public_api.txt`.

use std::collections::BTreeSet;

const LISTED: &str = include_str!("../data/public_api.txt");

/// The files whose `pub use` and `pub mod` make names public, each with its path.
const ROOTS: [(&str, &str); 3] = [
    ("scopegate", include_str!("../../src/lib.rs")),
    ("scopegate::gate", include_str!("../../src/gate/mod.rs")),
    ("scopegate_provider", include_str!("../../providers/sdk/src/lib.rs")),
];

/// Returns the names that the `pub use` and `pub mod` items of a file make public.
fn names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for item in source.split(';') {
        let item = item.trim_start_matches(|character| character != 'p').to_owned();
        let start = item.rfind("\npub ").map_or(0, |index| index + 1);
        let item = item[start..].split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(module) = item.strip_prefix("pub mod ") {
            names.push(module.to_owned());
        } else if let Some(used) = item.strip_prefix("pub use ") {
            for path in used.split([',', '{', '}']).map(str::trim) {
                let name = path.rsplit("::").next().unwrap_or_default();
                if !name.is_empty() {
                    names.push(name.to_owned());
                }
            }
        }
    }
    names
}

#[test]
fn public_names_are_those_that_are_listed() {
    let mut public = BTreeSet::new();
    for (path, source) in ROOTS {
        public.extend(names(source).into_iter().map(|name| format!("{path}::{name}")));
    }
    let listed: BTreeSet<String> = LISTED.lines().map(ToOwned::to_owned).collect();
    let added: Vec<_> = public.difference(&listed).collect();
    let removed: Vec<_> = listed.difference(&public).collect();
    assert!(
        added.is_empty() && removed.is_empty(),
        "tests/data/public_api.txt differs; change it if this is meant, and CHANGELOG.md.\nadded: {added:#?}\nremoved: {removed:#?}"
    );
}
