//! The recipes themselves.

use std::{fs, path::Path};

#[test]
fn each_file_of_the_cookbook_has_at_most_80_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cookbook");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        // The file with the settings that the recipes share is no recipe.
        assert!(lines <= 80 || path.ends_with("main.rs"), "{}: {lines} lines", path.display());
    }
}

#[test]
fn the_table_of_the_cookbook_has_the_pinned_versions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/cookbook.md")).unwrap();
    let packages = fs::read_to_string(root.join("tests/clients/package.json")).unwrap();
    let packages: serde_json::Value = serde_json::from_str(&packages).unwrap();
    // These are tools, or parts of a client.
    let parts = ["esbuild", "graphql", "react", "react-dom", "zod"];
    let mut pinned: Vec<(String, String)> = Vec::new();
    for (name, version) in packages["dependencies"].as_object().unwrap() {
        if !parts.contains(&name.as_str()) {
            let version = version.as_str().unwrap().rsplit('@').next().unwrap();
            pinned.push((name.clone(), version.to_owned()));
        }
    }
    let requirements = fs::read_to_string(root.join("tests/clients/requirements.txt")).unwrap();
    for line in requirements.lines() {
        let (name, version) = line.split_once("==").unwrap();
        if ["anthropic", "mcp", "openai"].contains(&name) {
            pinned.push((name.to_owned(), version.to_owned()));
        }
    }
    for (name, version) in pinned {
        let has_row = table.lines().any(|line| {
            line.starts_with('|')
                && line.contains(&format!("`{name}`"))
                && line.contains(&format!(" {version} "))
        });
        assert!(has_row, "no row of {name} {version}");
    }
}

#[test]
fn the_tests_that_the_table_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/cookbook.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| row.split('`')).filter_map(|name| name.split_once("::"));
    let mut count = 0;
    for (file, name) in names {
        let tests = root.join("tests/clients").join(file).with_extension("rs");
        let tests = fs::read_to_string(&tests).unwrap_or_default();
        assert!(tests.contains(&format!("fn {name}()")), "{file}::{name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}
