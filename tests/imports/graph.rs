//! Which file uses which, and the circles in that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::source::{Path, Source};

/// The files of a crate, by the paths of their modules. The root's is empty.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Path, Source>,
}

/// The meaning of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(Path),
    /// An item of this module.
    Item(Path),
}

/// The names that are being looked up, so that imports in a circle come to an end.
type Seen = BTreeSet<(Path, String)>;

/// The files that each file uses, both by their names under `src`, without `.rs`.
pub(crate) type Uses = BTreeMap<String, BTreeSet<String>>;

impl Crate {
    /// Adds a file by its name under `src`, without `.rs`.
    pub(crate) fn add(&mut self, file: &str, text: &str) {
        self.modules.insert(module_of(file), Source::parse(text));
    }

    /// Returns the files that each file uses.
    ///
    /// A name that comes through a re-export counts as a use of the file that defines it. A
    /// re-export is a use itself only if the file also uses the name.
    pub(crate) fn uses(&self) -> Uses {
        let of_module = |(module, source): (&Path, &Source)| {
            let imports = source
                .imports
                .iter()
                .filter(|import| !import.is_public || source.words.contains(&import.name));
            let paths = imports.map(|import| &import.path).chain(&source.paths);
            let targets = paths.flat_map(|path| self.resolve(module, path, &mut Seen::new()));
            let used = targets.filter_map(|target| match target {
                Target::Item(used) if used != *module => Some(self.file_of(&used)),
                Target::Item(_) | Target::Module(_) => None,
            });
            (self.file_of(module), used.collect())
        };
        self.modules.iter().map(of_module).collect()
    }

    /// Returns the meanings of a path in a module: none if it leads to another crate, several if
    /// features decide.
    fn resolve(&self, module: &Path, path: &[String], seen: &mut Seen) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::new() };
        match first.as_str() {
            "crate" => self.walk(&Path::new(), rest, seen),
            "self" => self.walk(module, rest, seen),
            "super" => {
                let parent = module[..module.len().saturating_sub(1)].to_vec();
                match rest.first() {
                    Some(next) if next == "super" => self.resolve(&parent, rest, seen),
                    _ => self.walk(&parent, rest, seen),
                }
            }
            _ => {
                let targets = self.look_up(module, first, seen);
                targets.into_iter().flat_map(|target| self.walk_on(target, rest, seen)).collect()
            }
        }
    }

    /// Follows the parts of a path, from a module.
    fn walk(&self, module: &Path, path: &[String], seen: &mut Seen) -> BTreeSet<Target> {
        let Some((name, rest)) = path.split_first() else {
            return BTreeSet::from([Target::Module(module.clone())]);
        };
        let targets = self.look_up(module, name, seen);
        if targets.is_empty() {
            // For example made by a macro there.
            return BTreeSet::from([Target::Item(module.clone())]);
        }
        targets.into_iter().flat_map(|target| self.walk_on(target, rest, seen)).collect()
    }

    fn walk_on(&self, target: Target, path: &[String], seen: &mut Seen) -> BTreeSet<Target> {
        match target {
            Target::Module(module) => self.walk(&module, path, seen),
            item @ Target::Item(_) => BTreeSet::from([item]),
        }
    }

    /// Returns the meanings of a name in a module: a child module, an item, or an import.
    fn look_up(&self, module: &Path, name: &str, seen: &mut Seen) -> BTreeSet<Target> {
        let Some(source) = self.modules.get(module) else { return BTreeSet::new() };
        let child = [module.as_slice(), &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return BTreeSet::from([Target::Module(child)]);
        }
        if source.items.contains(name) {
            return BTreeSet::from([Target::Item(module.clone())]);
        }
        if !seen.insert((module.clone(), name.to_owned())) {
            return BTreeSet::new();
        }
        let mut targets = BTreeSet::new();
        for import in &source.imports {
            if import.name == name {
                targets.extend(self.resolve(module, &import.path, seen));
            } else if import.name == "*" {
                for target in self.resolve(module, &import.path, seen) {
                    if let Target::Module(all_of) = target {
                        targets.extend(self.look_up(&all_of, name, seen));
                    }
                }
            }
        }
        seen.remove(&(module.clone(), name.to_owned()));
        targets
    }

    fn file_of(&self, module: &Path) -> String {
        let is_folder = self
            .modules
            .keys()
            .any(|other| other.len() > module.len() && other.starts_with(module));
        match module.join("/") {
            root if root.is_empty() => "lib".to_owned(),
            folder if is_folder => format!("{folder}/mod"),
            file => file,
        }
    }
}

/// Returns the module of a file.
fn module_of(file: &str) -> Path {
    let parts = file.split('/').filter(|part| !["lib", "mod"].contains(part));
    parts.map(str::to_owned).collect()
}

/// Returns the circles: for each file that is in one, the shortest, written `a → b → a`.
pub(crate) fn circles(uses: &Uses) -> BTreeSet<String> {
    let mut circles = BTreeSet::new();
    for (file, used) in uses {
        let ways = used.iter().filter_map(|next| shortest_way(uses, next, file));
        let Some(way) = ways.min_by_key(Vec::len) else { continue };
        // The way ends with `file`. Each circle is written from its first name in the alphabet.
        let start = (0..way.len()).min_by_key(|at| way[*at]).unwrap_or_default();
        let circle = way.iter().cycle().skip(start).take(way.len() + 1);
        circles.insert(circle.copied().collect::<Vec<_>>().join(" → "));
    }
    circles
}

/// Returns the files on the shortest way, both ends included.
pub(crate) fn shortest_way<'a>(uses: &'a Uses, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut came_from = BTreeMap::from([(from, None)]);
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        if file == to {
            let mut way: Vec<_> = std::iter::successors(Some(file), |at| came_from[at]).collect();
            way.reverse();
            return Some(way);
        }
        for next in uses.get(file).into_iter().flatten() {
            came_from.entry(next.as_str()).or_insert_with(|| {
                queue.push_back(next);
                Some(file)
            });
        }
    }
    None
}

#[cfg(test)]
fn uses(files: &[(&str, &str)]) -> Uses {
    let mut all = Crate::default();
    all.add("lib", "");
    files.iter().for_each(|(file, text)| all.add(file, text));
    all.uses()
}

/// Asserts which files the file `x/user` uses.
#[cfg(test)]
fn assert_uses(text: &str, expected: &[&str]) {
    let uses = uses(&[
        ("lib", "mod x; mod y; mod z; pub use self::y::{Deep, Own}; pub type Alias = u8;"),
        ("x/mod", "mod user; mod other; pub use self::other::Other as Renamed; use crate::z;"),
        ("x/user", text),
        ("x/other", "pub struct Other; pub fn call() {}"),
        ("y/mod", "mod deep; mod on; pub use self::{deep::Deep, on::*}; pub struct Own;"),
        ("y/deep", "pub struct Deep; make! { Made }"),
        ("y/on", "pub fn switch() {}"),
        ("z", "macro_rules! m {} pub(crate) use m; pub struct Z;"),
    ]);
    let used: Vec<_> = uses["x/user"].iter().map(String::as_str).collect();
    assert_eq!(used, expected, "{text}");
}

#[test]
fn a_name_counts_for_the_file_that_defines_it() {
    assert_uses("use super::other::Other;", &["x/other"]);
    assert_uses("use super::Renamed;", &["x/other"]);
    assert_uses("use crate::y::Deep;", &["y/deep"]);
    assert_uses("use crate::y::{Own, Deep};", &["y/deep", "y/mod"]);
    assert_uses("use crate::y::switch;", &["y/on"]);
    assert_uses("use crate::Deep;", &["y/deep"]);
    assert_uses("use crate::Alias;", &["lib"]);
    assert_uses("use crate::z::m;", &["z"]);
    assert_uses("use super::super::z::Z;", &["z"]);
    // The parent's own imports can be used as well.
    assert_uses("fn f() { super::z::g() }", &["z"]);
    // Nothing defines it visibly, so it is the file's that the path leads to.
    assert_uses("use crate::y::deep::Made;", &["y/deep"]);
}

#[test]
fn a_path_counts_as_an_import_does() {
    assert_uses("fn f() { crate::y::switch() }", &["y/on"]);
    assert_uses("use super::other; fn f() { other::call() }", &["x/other"]);
    assert_uses("use crate::y; type A = y::Deep;", &["y/deep"]);
    assert_uses("macro_rules! n { () => { $crate::y::Own } }", &["y/mod"]);
}

#[test]
fn other_crates_unused_modules_and_mere_reexports_do_not_count() {
    assert_uses("use http::Uri; use std::fmt; impl fmt::Debug for A {}", &[]);
    assert_uses("use crate::y;", &[]);
    assert_uses("pub use crate::y::Deep;", &[]);
    assert_uses("pub use crate::y::Deep; type A = Deep;", &["y/deep"]);
    assert_uses("#[cfg(test)] mod tests { use crate::y::Deep; }", &[]);
}

#[test]
fn circles_are_found_at_any_length() {
    let found = |files: &[(&str, &str)]| circles(&uses(files)).into_iter().collect::<Vec<_>>();
    let a = ("a", "use crate::b::B; pub struct A;");
    assert_eq!(found(&[a, ("b", "pub struct B;")]), [""; 0]);
    assert_eq!(found(&[a, ("b", "use crate::a::A; pub struct B;")]), ["a → b → a"]);
    assert_eq!(
        found(&[
            ("c", "use crate::a::A; pub struct C;"),
            a,
            ("b", "use crate::c::C; pub struct B;"),
            ("d", "use crate::a::A;"),
        ]),
        ["a → b → c → a"]
    );
    // Through a parent that only hands the name on.
    assert_eq!(
        found(&[
            ("x/mod", "mod a; mod b; pub use self::{a::A, b::B};"),
            ("x/a", "use super::B; pub struct A;"),
            ("x/b", "use super::A; pub struct B;"),
        ]),
        ["x/a → x/b → x/a"]
    );
    // A parent that defines something itself is a file like any other.
    assert_eq!(
        found(&[
            ("x/mod", "mod a; use self::a::A; pub struct X(A);"),
            ("x/a", "use super::X; pub struct A;"),
        ]),
        ["x/a → x/mod → x/a"]
    );
}
