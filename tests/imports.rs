//! Who may import whom: the table of `ARCHITECTURE.md`, held against every `crate::…` path under
//! `src`.
//!
//! A module may use the modules of lower levels, and nothing reaches back up. Code under
//! `#[cfg(test)]` and docs are left out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The table: `| level | modules | … |`.
fn levels() -> BTreeMap<String, usize> {
    let text = include_str!("../ARCHITECTURE.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let level = cells.next()?.parse().ok()?;
        Some((level, cells.next()?.to_owned()))
    });
    let mut levels = BTreeMap::new();
    for (level, modules) in rows {
        for module in modules.split(',') {
            levels.insert(module.trim().trim_matches('`').to_owned(), level);
        }
    }
    assert!(levels.len() > 5, "no table of levels in ARCHITECTURE.md");
    levels
}

/// The code of a file: without comments, docs and what is under `#[cfg(test)]`.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The modules that follow `crate::` in the code: one, or those of a group.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let mut depth = 0;
        let mut name = String::new();
        for character in rest.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if character.is_alphanumeric() || character == '_' => {
                    // Only the first name of a path at the group's own depth.
                    if depth <= 1 {
                        name.push(character);
                    }
                    continue;
                }
                _ => {}
            }
            if !name.is_empty() {
                used.insert(std::mem::take(&mut name));
                // What follows is inside of what was just named, up to the next comma of this
                // depth.
                if depth == 0 {
                    break;
                }
            }
            if depth == 0 {
                break;
            }
        }
    }
    used
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_module_uses_only_lower_levels() {
    let levels = levels();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for file in files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let level = levels.get(module).unwrap_or_else(|| panic!("{module} is not in the table"));
        for used in used_modules(&code_of(&file)) {
            // What the root defines itself is no module.
            let Some(used_level) = levels.get(&used) else { continue };
            checked += 1;
            assert!(
                used == module || used_level < level,
                "{} (level {level}) uses {used} (level {used_level})",
                inside.display()
            );
        }
    }
    assert!(checked > 20, "only {checked} imports found");
}

#[test]
fn groups_are_read_one_level_deep() {
    let code = "use crate::{ BoxError, body::{EventBody, connect}, channel::Taken, }; crate::event::Event $crate::delay_range::DelayRange";
    let used = used_modules(code);
    for module in ["BoxError", "body", "channel", "event", "delay_range"] {
        assert!(used.contains(module), "{module} in {used:?}");
    }
    assert!(!used.contains("EventBody") && !used.contains("connect"), "{used:?}");
}
