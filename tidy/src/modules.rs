//! The import graph between the modules of a crate, and its cycles.
//!
//! An edge leads from the module that uses an item to the module that defines it. Uses are `use` declarations, and
//! paths in code that begin with `crate`, `self` or `super`. Re-exports are followed to the definition; a `pub use`
//! alone is not an edge. Unit tests (`#[cfg(test)]`) do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository;
use crate::rust;

/// The modules of a crate.
#[derive(Debug, Default)]
pub struct Crate {
    modules: BTreeMap<Path, Module>,
}

/// A module's path below the crate root, which is the empty path.
type Path = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    code: String,
    /// Names that the module re-exports, with the full path of each.
    exports: BTreeMap<String, Path>,
    /// Paths of which the module re-exports all items: `pub use x::*`.
    globs: Vec<Path>,
    /// Paths that the module uses.
    uses: BTreeSet<Path>,
}

impl Crate {
    /// Reads the crate whose sources are below `folder`.
    pub fn read(folder: &str) -> Crate {
        let mut modules = BTreeMap::new();
        for file in repository::files(folder, &[".rs"]) {
            let relative = file.path.trim_start_matches(folder).trim_start_matches('/');
            let mut path: Path =
                relative.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if path.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
                path.pop();
            }
            let code = rust::split(&file.text).code;
            let code = rust::without_tests(&code).to_owned();
            modules.insert(path, Module { code, ..Module::default() });
        }
        let mut krate = Crate { modules };
        krate.remove_tests();
        krate.read_uses();
        krate
    }

    /// The import cycles. Each is a list of its modules, written as `a::b`.
    pub fn cycles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reach: BTreeMap<&Path, BTreeSet<&Path>> =
            edges.keys().map(|path| (*path, reachable(&edges, path))).collect();
        let mut seen = BTreeSet::new();
        let mut cycles = Vec::new();
        for (path, reached) in &reach {
            if !reached.contains(path) || seen.contains(path) {
                continue;
            }
            let cycle: Vec<&Path> = reached
                .iter()
                .filter(|other| reach.get(*other).is_some_and(|back| back.contains(path)))
                .copied()
                .collect();
            seen.extend(cycle.iter().copied());
            cycles.push(cycle.into_iter().map(|path| name(path)).collect());
        }
        cycles
    }

    /// The edges between the modules of a cycle, written as `a -> b`.
    pub fn edges_within(&self, cycle: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        for (from, targets) in self.edges() {
            for to in targets {
                if cycle.contains(&name(from)) && cycle.contains(&name(to)) {
                    lines.push(format!("{} -> {}", name(from), name(to)));
                }
            }
        }
        lines
    }

    fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let edges = self.modules.iter().map(|(path, module)| {
            let targets = module.uses.iter().filter_map(|used| self.definition(used, 0));
            (path, targets.filter(|target| *target != path).collect())
        });
        edges.collect()
    }

    /// The module that defines the item of a path, after following re-exports.
    fn definition(&self, path: &[String], depth: usize) -> Option<&Path> {
        let prefixes = (0..=path.len()).rev().filter_map(|length| path.get(..length));
        let mut homes = prefixes.filter_map(|prefix| self.modules.get_key_value(prefix));
        let (home, module) = homes.next()?;
        let Some(item) = path.get(home.len()) else { return Some(home) };
        let limit = 8;
        if depth < limit {
            if let Some(target) = module.exports.get(item) {
                return self.definition(target, depth + 1);
            }
            for glob in &module.globs {
                let target = [glob.as_slice(), std::slice::from_ref(item)].concat();
                if let Some(home) = self.definition(&target, depth + 1)
                    && self.modules.get(home).is_some_and(|module| defines(&module.code, item))
                {
                    return Some(home);
                }
            }
        }
        Some(home)
    }

    /// Removes modules that a `#[cfg(test)] mod name;` declares.
    fn remove_tests(&mut self) {
        let mut tests: Vec<Path> = Vec::new();
        for (path, module) in &self.modules {
            for (at, _) in module.code.match_indices("#[cfg(test)]") {
                let after = module.code[at + "#[cfg(test)]".len()..].trim_start();
                let Some(rest) = after.strip_prefix("mod ") else { continue };
                let Some((name, _)) = rest.split_once(';') else { continue };
                tests.push([path.as_slice(), &[name.trim().to_owned()]].concat());
            }
        }
        self.modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    }

    fn read_uses(&mut self) {
        let paths: Vec<Path> = self.modules.keys().cloned().collect();
        for path in &paths {
            let Some(module) = self.modules.get_mut(path) else { continue };
            let (declarations, rest) = use_declarations(&module.code);
            for declaration in declarations {
                for (target, alias) in leaves(&declaration.tree) {
                    let Some(target) = absolute(path, &target) else { continue };
                    if !declaration.public {
                        module.uses.insert(target);
                    } else if alias == "*" {
                        module.globs.push(target);
                    } else {
                        // A re-exported name that this module also uses is an edge.
                        if mentions(&rest, &alias) {
                            module.uses.insert(target.clone());
                        }
                        module.exports.insert(alias, target);
                    }
                }
            }
            let inline = inline_paths(&rest);
            module.uses.extend(inline.iter().filter_map(|used| absolute(path, used)));
        }
    }
}

struct Declaration {
    public: bool,
    tree: String,
}

/// The `use` declarations of a file, and the code without them.
fn use_declarations(code: &str) -> (Vec<Declaration>, String) {
    let mut declarations = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let public = trimmed.starts_with("pub");
        let after = if public {
            trimmed.split_once(" use ").map(|(_, tree)| tree)
        } else {
            trimmed.strip_prefix("use ")
        };
        let is_use = after.is_some_and(|_| {
            !public || trimmed.starts_with("pub use") || trimmed.starts_with("pub(")
        });
        let Some(tree) = after.filter(|_| is_use) else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
            tree.push(' ');
        }
        let tree = tree.split(';').next().unwrap_or_default().to_owned();
        declarations.push(Declaration { public, tree });
    }
    (declarations, rest)
}

/// The leaves of a use tree, each with the name that it gets in the module.
fn leaves(tree: &str) -> Vec<(Path, String)> {
    let tree = tree.trim();
    let Some((prefix, inner)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(p, a)| (p, Some(a)));
        let mut path: Path = path.trim().split("::").map(|part| part.trim().to_owned()).collect();
        let last = path.last().cloned().unwrap_or_default();
        if last == "*" || last == "self" && path.len() > 1 {
            path.pop();
        }
        let bound = if last == "self" { path.last().cloned().unwrap_or_default() } else { last };
        return vec![(path, alias.map_or(bound, |alias| alias.trim().to_owned()))];
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let prefix: Vec<String> = prefix
        .trim()
        .trim_end_matches("::")
        .split("::")
        .map(|part| part.trim().to_owned())
        .collect();
    let mut found = Vec::new();
    for branch in branches(inner) {
        for (path, alias) in leaves(branch) {
            let of_self = path == ["self"];
            let alias = if of_self { prefix.last().cloned().unwrap_or_default() } else { alias };
            let path = if of_self { Vec::new() } else { path };
            found.push(([prefix.as_slice(), &path].concat(), alias));
        }
    }
    found
}

/// Splits at commas outside braces.
fn branches(inner: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let split = inner.split(move |next| {
        match next {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        next == ',' && depth == 0
    });
    split.filter(|branch| !branch.trim().is_empty()).collect()
}

/// Paths in code that begin with `crate`, `self` or `super`.
fn inline_paths(code: &str) -> Vec<Path> {
    let word = |next: char| next.is_alphanumeric() || next == '_' || next == ':';
    let tokens = code.split(|next: char| !word(next)).filter(|token| {
        ["crate::", "self::", "super::"].iter().any(|start| token.starts_with(start))
    });
    tokens.map(|token| token.split("::").map(str::to_owned).collect()).collect()
}

/// A path from the crate root, or `None` if it leads to another crate.
fn absolute(from: &[String], path: &[String]) -> Option<Path> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => from.split_last()?.1.to_vec(),
        _ => return None,
    };
    while let Some((next, further)) = rest.split_first().filter(|(next, _)| *next == "super") {
        debug_assert_eq!(next, "super");
        base.pop();
        rest = further;
    }
    base.extend_from_slice(rest);
    Some(base)
}

fn mentions(code: &str, name: &str) -> bool {
    let word = |next: char| next.is_alphanumeric() || next == '_';
    code.split(|next: char| !word(next)).any(|token| token == name)
}

/// `true` if the code defines an item of this name.
fn defines(code: &str, item: &str) -> bool {
    ["struct", "enum", "trait", "fn", "type", "const", "static", "mod"]
        .iter()
        .any(|kind| code.contains(&format!("{kind} {item}")))
}

fn reachable<'a>(
    edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    from: &'a Path,
) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(path) = open.pop() {
        for target in edges.get(path).into_iter().flatten() {
            if reached.insert(*target) {
                open.push(target);
            }
        }
    }
    reached
}

fn name(path: &[String]) -> String {
    if path.is_empty() { "the crate root".to_owned() } else { path.join("::") }
}

#[cfg(test)]
mod tests {
    use super::{Path, leaves};

    fn path(text: &str) -> Path {
        text.split("::").map(str::to_owned).collect()
    }

    #[test]
    fn a_use_tree_has_a_leaf_for_each_name() {
        let found = leaves("crate::a::{self, b::{C, D as E}, f::*}");
        let expected = [
            (path("crate::a"), "a"),
            (path("crate::a::b::C"), "C"),
            (path("crate::a::b::D"), "E"),
            (path("crate::a::f"), "*"),
        ];
        assert_eq!(found, expected.map(|(path, name)| (path, name.to_owned())));
    }
}
