//! The table of rules in `docs/conformance.md` speaks of files and tests that there are.

use std::{fs, path::Path};

/// The cells of a row: rule, section, files, tests.
const CELLS: usize = 4;

#[test]
fn every_rule_names_files_and_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = root.join("docs/conformance.md");
    let page = fs::read_to_string(page).expect("the table is there");
    let mut n_rules = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), CELLS, "{row}");
        if cells[0] == "rule" || cells[0].starts_with("---") {
            continue;
        }
        n_rules += 1;
        let files = quoted(cells[2]);
        assert!(!files.is_empty(), "no file keeps this rule: {row}");
        for file in files {
            assert!(root.join(file).is_file(), "there is no {file}: {row}");
        }
        let tests = quoted(cells[3]);
        assert!(
            !tests.is_empty() && tests.len().is_multiple_of(2),
            "tests are a file and a name: {row}"
        );
        for test in tests.chunks(2) {
            let text = fs::read_to_string(root.join(test[0]));
            let text = text.unwrap_or_else(|error| panic!("{}: {error}: {row}", test[0]));
            let function = format!("fn {}()", test[1]);
            assert!(text.contains(&function), "there is no {} in {}: {row}", test[1], test[0]);
        }
    }
    assert!(n_rules > 0, "the page has no table");
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
