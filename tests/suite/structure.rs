//! The structure of `src` is as the manual says: imports point downwards, and no files import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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
    before: &'t str,
    tree: &'t str,
    is_export: bool,
    after: &'t str,
}

fn next_use(text: &str) -> Option<Use<'_>> {
    for (index, _) in text.match_indices("use ") {
        let before = &text[..index];
        let visibility = before.rsplit('\n').next().unwrap().trim();
        let is_export = visibility == "pub" || visibility.starts_with("pub(") && visibility.ends_with(')');
        if visibility.is_empty() || is_export {
            let (tree, after) = text[index + 4..].split_once(';')?;
            return Some(Use { before, tree, is_export, after });
        }
    }
    None
}

/// The paths that code names without importing them first: those from `crate`, `super` or a child module.
fn inline_paths(code: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = BTreeSet::new();
    for (separator, _) in code.match_indices("::") {
        let head = code[..separator].rsplit(|c| !is_word(c)).next().unwrap();
        let start = separator - head.len();
        // The visibility `pub(in crate::…)` is not an import.
        let continues = code[..start].ends_with([':', '\'']) || code[..start].ends_with("in ");
        if continues || head.is_empty() || !(["crate", "super"].contains(&head) || has_child(module, head)) {
            continue;
        }
        let path = &code[start..];
        let end = path.find(|c: char| !(is_word(c) || c == ':')).unwrap_or(path.len());
        paths.insert(path[..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
    }
    paths
}

/// The imports of a file, and its re-exports, both as absolute paths.
fn uses(text: &str, module: &[String]) -> (BTreeSet<Vec<String>>, BTreeSet<Vec<String>>) {
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    let mut rest = text;
    while let Some(declaration) = next_use(rest) {
        let paths = if declaration.is_export { &mut exports } else { &mut imports };
        expand(declaration.tree, &[], paths);
        imports.extend(inline_paths(declaration.before, module));
        rest = declaration.after;
    }
    imports.extend(inline_paths(rest, module));
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

/// The circles that are left: the files of each hold one concept, such as a body that goes back to the pool with its
/// connection. Files may leave this list, and none may join it.
const KNOWN: [&[&str]; 7] = [
    &["api/admin/live.rs", "api/admin/nodes.rs", "api/admin/overview.rs"],
    &["authenticator/cache.rs", "authenticator/derived.rs"],
    &[
        "policy/compare.rs",
        "policy/decision.rs",
        "policy/requirement.rs",
        "policy/route.rs",
        "policy/rule.rs",
        "policy/table.rs",
    ],
    &["policy/path.rs", "policy/target.rs"],
    &["policy/settings/document.rs", "policy/settings/require.rs", "policy/settings/shape.rs"],
    &["telemetry/decisions.rs", "telemetry/metrics.rs"],
    &[
        "upstream/address.rs",
        "upstream/body.rs",
        "upstream/http1.rs",
        "upstream/http2.rs",
        "upstream/pool.rs",
        "upstream/response_timeout.rs",
        "upstream/upload.rs",
    ],
];

/// Returns the imports of each file, as indices of files. What a module and its own parts import of each other is left
/// out: a part may use what its module declares for all of them.
fn edges(sources: &[Source]) -> Vec<BTreeSet<usize>> {
    let modules: BTreeMap<Vec<String>, usize> =
        sources.iter().enumerate().map(|(index, source)| (source.module.clone(), index)).collect();
    let targets = sources.iter().map(|source| {
        let paths = source.imports.iter().map(|import| defined(&modules, sources, import));
        let files = paths.filter_map(|path| file_of(&modules, &path).copied());
        files.filter(|target| {
            let other = &sources[*target].module;
            !source.module.starts_with(other) && !other.starts_with(&source.module)
        })
    });
    targets.map(Iterator::collect).collect()
}

/// Returns the shortest way along imports from a file back to itself.
fn circle(edges: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for target in &edges[file] {
            if *target == start {
                let mut way = vec![file];
                while let Some(earlier) = came_from.get(&way[way.len() - 1]) {
                    way.push(*earlier);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(target) {
                came_from.insert(*target, file);
                open.push_back(*target);
            }
        }
    }
    None
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let edges = edges(&sources);
    let mut circles = BTreeSet::new();
    for start in 0..sources.len() {
        let Some(way) = circle(&edges, start) else { continue };
        let mut files: Vec<String> = way
            .iter()
            .map(|file| sources[*file].path.strip_prefix(root()).unwrap().display().to_string())
            .collect();
        if KNOWN.iter().any(|known| files.iter().all(|file| known.contains(&file.as_str()))) {
            continue;
        }
        // Each circle is reported once, from the first of its files by name.
        let first = files.iter().min().and_then(|first| files.iter().position(|file| file == first)).unwrap();
        files.rotate_left(first);
        circles.insert(files.join(" → "));
    }
    assert!(circles.is_empty(), "these files import each other:\n{circles:#?}");
}
