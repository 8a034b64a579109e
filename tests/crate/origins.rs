//! The tables of `tests/README.md`: every test that they name exists, and every row names one.

use std::{fs, path::Path};

const README: &str = include_str!("../README.md");

/// Returns the cells of the rows of the tables of origins, without their heads.
fn rows() -> Vec<Vec<&'static str>> {
    let (_, tables) = README.split_once("## Where the tests come from").unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| cells.last() != Some(&"tests")).collect()
}

/// Returns whether a test `area::file::name` exists.
fn exists(test: &str) -> bool {
    let mut parts = test.split("::");
    let (Some(area), Some(file), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(area).join(file);
    let Ok(text) = fs::read_to_string(path.with_extension("rs")) else { return false };
    // It runs in each browser.
    if text.contains(&format!("in_each_engine!({name});")) {
        return true;
    }
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    // An attribute stands right above a test.
    let above = text[..at].trim_end().trim_end_matches("async").trim_end();
    above.lines().last().is_some_and(|line| {
        let line = line.trim();
        line == "#[test]" || line.starts_with("#[tokio::test")
    })
}

#[test]
fn every_row_of_the_tables_of_origins_names_tests_that_exist() {
    let (mut tests, mut without) = (0, Vec::new());
    for row in rows() {
        let cell = row.last().unwrap();
        if cell.starts_with('–') {
            without.push(row[0]);
            continue;
        }
        for test in cell.split(", ") {
            let name = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
            assert!(name.is_some_and(exists), "{test} of row {} does not exist", row[0]);
            tests += 1;
        }
    }
    assert!(tests > 150, "only {tests} tests are named");
    // The rows that need no test.
    assert_eq!(without, ["R21", "R22", "31–37", "38"]);
}
