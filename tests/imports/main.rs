//! Which file may use which: the levels of `ARCHITECTURE.md`, and no circles.
//!
//! A module may use the modules of lower levels only. Two files may not use each other, neither
//! directly nor through others. Test code and docs are not checked.
//!
//! A file uses another if it names an item of it, by an import or by a path. An item that is named
//! through a re-export belongs to the file that defines it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod graph;
mod source;
mod tokens;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use graph::{Crate, Uses, circles, shortest_way};

/// Uses that may close a circle: a file, the file that it uses, and the reason.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// Returns the level of each module, from the picture of `ARCHITECTURE.md`: lines that start with the
/// level.
fn levels() -> BTreeMap<String, usize> {
    let text = include_str!("../../ARCHITECTURE.md");
    let (_, picture) = text.split_once("## Who may import whom").unwrap();
    let (picture, _) = picture.split_once("## ").unwrap();
    let mut levels = BTreeMap::new();
    for line in picture.lines() {
        let mut words = line.split_whitespace();
        let Some(Ok(level)) = words.next().map(str::parse) else { continue };
        let is_module = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        levels.extend(words.filter(is_module).map(|module| (module.to_owned(), level)));
    }
    assert!(levels.len() > 20, "ARCHITECTURE.md has no picture of levels");
    levels
}

/// Returns which file of `src` uses which.
fn uses() -> Uses {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Crate::default();
    for path in files(&source) {
        let file = path.strip_prefix(&source).unwrap().with_extension("");
        let file = file.to_str().unwrap().replace('\\', "/");
        all.add(&file, &fs::read_to_string(&path).unwrap());
    }
    let uses = all.uses();
    let count: usize = uses.values().map(|used| used.len()).sum();
    assert!(count > 100, "only {count} uses were found");
    uses
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_module_uses_only_lower_levels() {
    let levels = levels();
    let module_of = |file: &str| file.split('/').next().unwrap_or_default().to_owned();
    for (file, used) in uses() {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let level = levels.get(&module).unwrap_or_else(|| panic!("{module} is not in the table"));
        for used in used {
            let used_module = module_of(&used);
            // The root's own items have no level.
            let Some(used_level) = levels.get(&used_module) else { continue };
            assert!(
                used_module == module || used_level < level,
                "{file} (level {level}) uses {used} (level {used_level})"
            );
        }
    }
}

#[test]
fn files_use_each_other_in_no_circle() {
    let mut uses = uses();
    for (file, used, _) in ALLOWED {
        if let Some(all) = uses.get_mut(*file) {
            all.remove(*used);
        }
    }
    let circles = circles(&uses);
    assert!(circles.is_empty(), "files use each other:\n{}", Vec::from_iter(circles).join("\n"));
}

#[test]
fn each_allowed_use_closes_a_circle() {
    let uses = uses();
    for (file, used, _) in ALLOWED {
        let is_used = uses.get(*file).is_some_and(|all| all.contains(*used));
        let is_circle = is_used && shortest_way(&uses, used, file).is_some();
        assert!(is_circle, "remove {file} → {used} from ALLOWED: it closes no circle");
    }
}
