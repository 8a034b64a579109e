//! The names that one file defines, imports, and uses by a path.

use std::collections::BTreeSet;

use crate::tokens::code_tokens;

/// The parts of a path, for example `crate`, `body` and `EventBody`.
pub(crate) type Path = Vec<String>;

/// One file, as a module.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The names of its items: types, functions, constants, macros.
    pub(crate) items: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// The paths of two parts and more outside of imports.
    pub(crate) paths: BTreeSet<Path>,
    /// All words outside of imports.
    pub(crate) words: BTreeSet<String>,
}

/// One name that a `use` brings into a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Path,
    /// The name in the module: the last part of the path, the word after `as`, or `*`.
    pub(crate) name: String,
    /// Whether it has a `pub`, so that other modules can use the name.
    pub(crate) is_public: bool,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = code_tokens(text);
        let mut source = Self::default();
        let mut depth = 0;
        // The depth at which each open `mod name {` stands.
        let mut inline_modules = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1).copied().unwrap_or_default();
            match tokens[at] {
                // `use<…>` is a bound.
                "use" if next != "<" => {
                    let end = tokens[at..].iter().position(|token| *token == ";");
                    let end = end.map_or(tokens.len(), |len| at + len);
                    let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1]);
                    let start = source.imports.len();
                    source.add_imports(&tokens[at + 1..end], &[], is_public);
                    for import in &mut source.imports[start..] {
                        leave_inline_modules(&mut import.path, inline_modules.len());
                    }
                    at = end + 1;
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inline_modules.retain(|opened_at| *opened_at < depth);
                }
                "mod" if tokens.get(at + 2) == Some(&"{") => inline_modules.push(depth),
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static"
                    if depth == 0 =>
                {
                    source.items.insert(next.to_owned());
                }
                "macro_rules" => {
                    let name = tokens.get(at + 2).copied().unwrap_or_default();
                    source.items.insert(name.to_owned());
                }
                word if is_name(word) => {
                    source.words.insert(word.to_owned());
                    let is_start = at == 0 || tokens[at - 1] != "::";
                    let mut path = path_at(&tokens[at..]);
                    if is_start && path.len() > 1 {
                        leave_inline_modules(&mut path, inline_modules.len());
                        source.paths.insert(path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }

    /// Adds the names of a tree such as `a::{b, c::{self, d as e}}`.
    fn add_imports(&mut self, tree: &[&str], prefix: &[String], is_public: bool) {
        let path = path_at(tree);
        let rest = &tree[(2 * path.len()).saturating_sub(1).min(tree.len())..];
        let mut path = [prefix, &path].concat();
        match rest {
            ["::", "{", inner @ .., "}"] | ["{", inner @ .., "}"] => {
                for part in split_at_commas(inner) {
                    self.add_imports(part, &path, is_public);
                }
            }
            ["::", "*"] => self.imports.push(Import { path, name: "*".to_owned(), is_public }),
            _ => {
                if path.len() > 1 && path.last().is_some_and(|part| part == "self") {
                    path.pop();
                }
                let name = match rest {
                    ["as", name] => Some((*name).to_owned()),
                    _ => path.last().cloned(),
                };
                let Some(name) = name else { return };
                self.imports.push(Import { path, name, is_public });
            }
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns the path at the start of the tokens.
fn path_at(tokens: &[&str]) -> Path {
    let mut path = Vec::new();
    for pair in tokens.chunks(2) {
        if !is_name(pair[0]) || pair[0] == "as" {
            break;
        }
        path.push(pair[0].to_owned());
        if pair.get(1) != Some(&"::") {
            break;
        }
    }
    path
}

/// Splits at the commas that are in no braces.
fn split_at_commas<'a, 'b>(tokens: &'b [&'a str]) -> impl Iterator<Item = &'b [&'a str]> {
    let mut depth = 0;
    let parts = tokens.split(move |token| {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == ","
    });
    parts.filter(|part| !part.is_empty())
}

/// Makes a path inside of inline modules (`mod name { … }`) one of the file.
fn leave_inline_modules(path: &mut Path, depth: usize) {
    for _ in 0..depth {
        if path.first().is_some_and(|part| part == "super") {
            path[0] = "self".to_owned();
            if path.get(1).is_some_and(|part| part == "super") {
                path.remove(0);
            }
        }
    }
}

#[cfg(test)]
fn imports(text: &str) -> Vec<String> {
    let imports = Source::parse(text).imports;
    imports.iter().map(|it| format!("{} = {}", it.name, it.path.join("::"))).collect()
}

#[test]
fn imports_are_read_as_trees() {
    assert_eq!(imports("use a::b;"), ["b = a::b"]);
    assert_eq!(imports("use a;"), ["a = a"]);
    assert_eq!(
        imports("use crate::{a, b::{self, c as d, e::*},};"),
        ["a = crate::a", "b = crate::b", "d = crate::b::c", "* = crate::b::e",]
    );
    assert_eq!(imports("fn f() -> impl A + use<F> {}"), [""; 0]);
    let source = Source::parse("use a::b; pub(crate) use c::d; pub use e::f;");
    let public: Vec<_> = source.imports.iter().map(|import| import.is_public).collect();
    assert_eq!(public, [false, true, true]);
}

#[test]
fn paths_and_items_are_found() {
    let source = Source::parse(
        "pub(crate) struct A; macro_rules! m { () => { $crate::x::Y } } \
         impl A { fn inner() { b::c(self.d, super::e::F::G); } } const H: usize = 1;",
    );
    let items: Vec<_> = source.items.iter().map(String::as_str).collect();
    assert_eq!(items, ["A", "H", "m"]);
    let paths: Vec<_> = source.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["b::c", "crate::x::Y", "super::e::F::G"]);
}

#[test]
fn paths_inside_of_inline_modules_are_those_of_the_file() {
    let source = Source::parse("mod sealed { use super::super::A; fn f() { super::g::h() } }");
    assert_eq!(source.imports[0].path, ["super", "A"]);
    assert!(source.paths.contains(["self", "g", "h"].map(str::to_owned).as_slice()));
}
