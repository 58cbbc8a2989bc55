//! The names that programs and providers depend on change only on purpose: they are listed in `tests/data/public_api.txt`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

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

const EXHAUSTIVE: &str = include_str!("../data/exhaustive.txt");

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Returns the public enums and settings structs of a file that a program may match or build without `..`.
fn exhaustive(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in source.match_indices("\npub ") {
        let item = &source[start + 5..];
        let attributes = source[..start].rsplit("\n\n").next().unwrap();
        let is_settings = attributes.contains("Deserialize");
        let body = item.split("\n}").next().unwrap();
        let name = match item.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["enum", name, ..] => *name,
            ["struct", name, "{", ..] if is_settings && body.contains("\n    pub ") => *name,
            _ => continue,
        };
        if !attributes.contains("#[non_exhaustive]") {
            names.push(name.split(['<', '(', '{']).next().unwrap().to_owned());
        }
    }
    names
}

/// Each public enum and settings struct is `non_exhaustive`, or listed as one that stays as it is.
#[test]
fn public_enums_and_settings_are_non_exhaustive_or_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    for provider in fs::read_dir(root.join("providers")).unwrap() {
        rust_files(&provider.unwrap().path().join("src"), &mut files);
    }
    let found: BTreeSet<String> =
        files.iter().flat_map(|file| exhaustive(&fs::read_to_string(file).unwrap())).collect();
    let listed = EXHAUSTIVE.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect();
    let undecided: Vec<_> = found.difference(&listed).collect();
    assert!(
        undecided.is_empty(),
        "make these `#[non_exhaustive]`, or list them in tests/data/exhaustive.txt (CONTRIBUTING.md says which): {undecided:#?}"
    );
}

/// The folders whose public traits and builders programs and providers use.
const INTERFACE: [&str; 7] = [
    "providers/sdk/src",
    "providers/oidc/src/settings",
    "src/config",
    "src/gate/fronts",
    "src/policy",
    "src/runtime",
    "src/server",
];

/// Each public trait and builder shows in an example that compiles how it is used.
#[test]
fn public_traits_and_builders_have_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("src/providers.rs")];
    for folder in INTERFACE {
        rust_files(&root.join(folder), &mut files);
    }
    let mut bare = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        for (start, _) in source.match_indices("\npub ") {
            let words: Vec<&str> = source[start + 5..].split_whitespace().take(2).collect();
            let name = words[1].trim_end_matches([':', '(', '{', ';']).split('<').next().unwrap();
            let is_builder = name.ends_with("Builder") || ["Kinds", "Loader"].contains(&name);
            let is_meant = words[0] == "trait" || words[0] == "struct" && is_builder;
            // What stands above it, back to the first line that is neither a comment nor an attribute.
            let lines = source[..start].lines().rev();
            let above =
                lines.take_while(|line| line.trim_start().starts_with(['/', '#', ')'])).collect::<Vec<_>>();
            if is_meant && !above.iter().any(|line| line.starts_with("/// ```")) {
                bare.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(bare.is_empty(), "these have no example: {bare:#?}");
}
