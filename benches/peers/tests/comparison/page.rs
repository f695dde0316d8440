//! The page names a test for each fact: they exist, and none is left out.

use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../../../src/docs/comparison.rs");

#[test]
fn the_page_names_every_test() {
    let list = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let tests: BTreeSet<String> = String::from_utf8(list.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|test| !test.starts_with("page::") && !test.starts_with("support::"))
        .map(str::to_owned)
        .collect();
    assert!(tests.len() > 50, "the list of tests could not be read");
    // In the page a test is named by its question, `panics::waiters`, which stands for all contestants.
    let questions: BTreeSet<&str> = PAGE
        .split('`')
        .filter(|word| word.contains("::") && word.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c)))
        .filter(|word| tests.iter().any(|test| test.split("::").next() == word.split("::").next()))
        .collect();
    for question in &questions {
        assert!(tests.iter().any(|test| test.starts_with(question)), "the page names {question}, which is no test");
    }
    for test in &tests {
        assert!(questions.iter().any(|question| test.starts_with(question)), "the page does not name {test}");
    }
}
