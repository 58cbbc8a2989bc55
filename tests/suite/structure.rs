//! The structure of `src` is as the manual says: imports point downwards, and files of different folders do not import
//! each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rows of the layout, the highest first. A module imports from rows below its own only.
const ROWS: [&[&str]; 11] = [
    &["main"],
    &["cli"],
    &["app"],
    &["api", "runtime"],
    &["config", "testing"],
    &["gate", "providers"],
    &["upstream"],
    &["server"],
    &["authenticator", "problem"],
    &["policy", "store"],
    &["telemetry", "grpc", "yaml"],
];

/// The order of the folders and files within `src/gate`, the highest first.
const GATE: [&[&str]; 3] = [&["fronts"], &["authorize"], &["cors", "decision", "identity", "request"]];

/// A production file of `src`: its module path, such as `["gate", "fronts", "proxy"]`, its imports, and its re-exports by
/// name.
struct Source {
    path: PathBuf,
    module: Vec<String>,
    imports: BTreeSet<Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "conformance" {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && name != "tests.rs"
            && name != "conformance.rs"
        {
            found.push(path);
        }
    }
}

fn module(path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(root()).unwrap().with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The text of a file without comments and without the unit tests at its end.
fn production(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn expand(tree: &str, prefix: &[String], paths: &mut BTreeSet<Vec<String>>) {
    let tree = tree.trim();
    let Some(brace) = tree.find('{') else {
        let own = tree.split("::").map(|part| part.split(" as ").next().unwrap().trim().to_owned());
        let path: Vec<String> = prefix.iter().cloned().chain(own.filter(|part| !part.is_empty())).collect();
        paths.insert(path);
        return;
    };
    let head = tree[..brace].split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
    let prefix: Vec<String> = prefix.iter().cloned().chain(head).collect();
    let inner = &tree[brace + 1..tree.rfind('}').unwrap()];
    let (mut depth, mut start) = (0, 0);
    for (index, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&inner[start..index], &prefix, paths);
                start = index + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&inner[start..], &prefix, paths);
    }
}

/// Returns `true` if a module has a child of this name, which paths may begin with.
fn has_child(module: &[String], name: &str) -> bool {
    let folder = module.iter().fold(root(), |folder, part| folder.join(part));
    folder.join(name).is_dir() || folder.join(name).with_extension("rs").is_file()
}

/// Makes `super::x` and `self::x` absolute. Returns `None` for paths of other crates.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        child if has_child(module, child) => module.to_vec(),
        _ => return None,
    };
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        rest = tail;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// A `use` declaration.
struct Use<'t> {
    tree: &'t str,
    is_export: bool,
    after: &'t str,
}

fn next_use(text: &str) -> Option<Use<'_>> {
    for (index, _) in text.match_indices("use ") {
        let before = text[..index].rsplit('\n').next().unwrap().trim();
        let is_export = before == "pub" || before.starts_with("pub(") && before.ends_with(')');
        if before.is_empty() || is_export {
            let (tree, after) = text[index + 4..].split_once(';')?;
            return Some(Use { tree, is_export, after });
        }
    }
    None
}

/// The imports of a file, and its re-exports, both as absolute paths.
fn uses(text: &str, module: &[String]) -> (BTreeSet<Vec<String>>, BTreeSet<Vec<String>>) {
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    let mut rest = text;
    while let Some(declaration) = next_use(rest) {
        let paths = if declaration.is_export { &mut exports } else { &mut imports };
        expand(declaration.tree, &[], paths);
        rest = declaration.after;
    }
    for (start, _) in text.match_indices("crate::") {
        // The visibility `pub(in crate::…)` is not an import.
        if text[..start].ends_with("in ") {
            continue;
        }
        let path = &text[start..];
        let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
        imports.insert(path[..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
    }
    let all = |paths: BTreeSet<Vec<String>>| {
        let paths = paths.iter().filter_map(|path| absolute(path, module));
        paths.filter(|path| !path.is_empty()).collect()
    };
    (all(imports), all(exports))
}

/// Follows re-exports to the path at which a name is defined.
fn defined(modules: &BTreeMap<Vec<String>, usize>, sources: &[Source], path: &[String]) -> Vec<String> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let parent = (0..path.len()).rev().find_map(|length| Some((length, modules.get(&path[..length])?)));
        let Some((length, index)) = parent else { break };
        let Some(target) = sources[*index].exports.get(&path[length]) else { break };
        path = target.iter().chain(&path[length + 1..]).cloned().collect();
    }
    path
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let read = |path: PathBuf| {
        let module = module(&path);
        let (imports, exports) = uses(&production(&fs::read_to_string(&path).unwrap()), &module);
        let exports = exports.into_iter().map(|path| (path.last().unwrap().clone(), path)).collect();
        Source { path, module, imports, exports }
    };
    found.into_iter().map(read).collect()
}

fn row(rows: &[&[&str]], name: &str) -> Option<usize> {
    rows.iter().position(|row| row.contains(&name))
}

/// The file that defines an imported path: the longest prefix of it that is a module.
fn file_of<'a>(modules: &'a BTreeMap<Vec<String>, usize>, path: &[String]) -> Option<&'a usize> {
    (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]))
}

#[test]
fn no_import_between_folders_points_upwards() {
    let mut upward = Vec::new();
    for source in sources() {
        let Some(own) = source.module.first().and_then(|name| row(&ROWS, name)) else { continue };
        for import in &source.imports {
            let Some(other) = import.first().and_then(|name| row(&ROWS, name)) else { continue };
            let same = source.module.first() == import.first();
            if !same && other <= own {
                upward.push(format!("{}: {}", source.path.display(), import.join("::")));
            }
        }
    }
    assert!(upward.is_empty(), "these imports do not point downwards:\n{}", upward.join("\n"));
}

#[test]
fn no_import_within_the_gate_points_upwards() {
    let mut upward = Vec::new();
    for source in sources() {
        let [first, own, ..] = source.module.as_slice() else { continue };
        let Some(own) = row(&GATE, own).filter(|_| first == "gate") else { continue };
        for import in &source.imports {
            let [first, other, ..] = import.as_slice() else { continue };
            let other = row(&GATE, other).filter(|_| first == "gate");
            if other.is_some_and(|other| other < own) {
                upward.push(format!("{}: {}", source.path.display(), import.join("::")));
            }
        }
    }
    assert!(upward.is_empty(), "these imports do not point downwards:\n{}", upward.join("\n"));
}

#[test]
fn files_of_different_folders_do_not_import_each_other_in_a_circle() {
    let sources = sources();
    let modules: BTreeMap<Vec<String>, usize> =
        sources.iter().enumerate().map(|(index, source)| (source.module.clone(), index)).collect();
    let edges: Vec<BTreeSet<usize>> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let targets = source
                .imports
                .iter()
                .filter_map(|import| file_of(&modules, &defined(&modules, &sources, import)).copied());
            targets.filter(|target| *target != index).collect()
        })
        .collect();
    let folder = |index: usize| sources[index].path.parent().unwrap().to_path_buf();
    let mut circles = Vec::new();
    for start in 0..sources.len() {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(file) = open.pop() {
            for target in &edges[file] {
                if *target == start && folder(file) != folder(start) && is_no_parent(&sources, file, start) {
                    circles.push(format!(
                        "{} and {}",
                        sources[start].path.display(),
                        sources[file].path.display()
                    ));
                }
                if seen.insert(*target) {
                    open.push(*target);
                }
            }
        }
    }
    assert!(circles.is_empty(), "these files import each other:\n{}", circles.join("\n"));
}

/// Returns `true` unless one of the two modules contains the other: a module and its parts may use each other.
fn is_no_parent(sources: &[Source], one: usize, other: usize) -> bool {
    let (one, other) = (&sources[one].module, &sources[other].module);
    !one.starts_with(other) && !other.starts_with(one)
}
