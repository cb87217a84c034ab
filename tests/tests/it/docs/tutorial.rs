//! What the tutorial has its readers change is in the template that they have.

use eventfabric_tests::workspace;

/// What the reader adds to a statement.
const ADDED: &str = ", moves = moves + 1";
/// The page of a language, and the file of its template that it changes.
const CHANGED: [(&str, &str); 5] = [
    ("rust", "src/lib.rs"),
    ("typescript", "src/index.ts"),
    ("python", "projection.py"),
    ("go", "main.go.template"),
    ("c", "src/main.c.template"),
];

#[test]
fn the_changes_of_the_tutorial_fit_the_templates() {
    for (language, file) in CHANGED {
        let page = workspace().join("docs/tutorial").join(language).with_extension("md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, after) = page.split_once("let `book` count:").unwrap();
        let block = after.split("```").nth(1).and_then(|block| block.split_once('\n')).unwrap().1;
        assert!(block.contains(ADDED), "{language}: {block}");
        let template = workspace().join("sdk").join(language).join("template").join(file);
        let template = std::fs::read_to_string(template).unwrap();
        let before = squeezed(&block.replace(ADDED, ""));
        assert!(squeezed(&template).contains(&before), "{language}: {before} is not in {file}");
    }
}

/// Without the white space, and the commas, that formatters move.
fn squeezed(code: &str) -> String {
    code.split_whitespace().collect::<String>().replace(",)", ")")
}
