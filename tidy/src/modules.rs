//! The import graph between the modules of a crate, and its cycles.
//!
//! An arrow goes from the module that names an item to the module that defines it: `use` declarations
//! and paths in code that begin with `crate`, `self` or `super`. Re-exports are followed to the
//! definition; a `pub use` alone is no arrow. Unit tests (`#[cfg(test)]`) do not count.

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
    /// Paths that the module re-exports whole: `pub use x::*`.
    globs: Vec<Path>,
    /// Paths that the module names.
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
        krate.leave_out_tests();
        krate.read_uses();
        krate
    }

    /// The modules that are on a cycle, cycle by cycle, each as `a::b`.
    pub fn cycles(&self) -> Vec<Vec<String>> {
        let arrows = self.arrows();
        let reach: BTreeMap<&Path, BTreeSet<&Path>> =
            arrows.keys().map(|path| (*path, reachable(&arrows, path))).collect();
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

    /// The arrows of a module to others, for a message: `a -> b`.
    pub fn arrows_within(&self, cycle: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        for (from, targets) in self.arrows() {
            for to in targets {
                if cycle.contains(&name(from)) && cycle.contains(&name(to)) {
                    lines.push(format!("{} -> {}", name(from), name(to)));
                }
            }
        }
        lines
    }

    fn arrows(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let arrows = self.modules.iter().map(|(path, module)| {
            let targets = module.uses.iter().filter_map(|used| self.definition(used, 0));
            (path, targets.filter(|target| *target != path).collect())
        });
        arrows.collect()
    }

    /// The module that defines what a path names, through re-exports.
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

    /// Leaves out files that a `#[cfg(test)] mod name;` declares.
    fn leave_out_tests(&mut self) {
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
                        // A name that is re-exported and used here, too, is an arrow.
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

/// The leaves of a use tree, each with the name it is bound to.
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
    arrows: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    from: &'a Path,
) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(path) = open.pop() {
        for target in arrows.get(path).into_iter().flatten() {
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
