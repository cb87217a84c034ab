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

#[test]
fn the_second_migration_of_the_tutorial_stands_where_the_templates_have_the_first() {
    let mut count = 0;
    for (language, file) in CHANGED {
        let page = workspace().join("docs/tutorial").join(language).with_extension("md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, after) = page.split_once("{{#include parts/run.md}}").unwrap();
        let template = workspace().join("sdk").join(language).join("template").join(file);
        let template = squeezed(&std::fs::read_to_string(template).unwrap());
        for block in after.split("```").skip(1).step_by(2) {
            let before = with_one_migration(block.split_once('\n').unwrap().1);
            assert!(template.contains(&before), "{language}: {before} is not in {file}");
            count += 1;
        }
    }
    assert!(count > 2, "where have the migrations gone?");
}

/// What a block was before the second migration came to the first, squeezed.
fn with_one_migration(block: &str) -> String {
    let renamed =
        block.replace("002_add_note", "001_create_accounts").replace("add_note", "create_accounts");
    let mut lines: Vec<String> = renamed.lines().map(squeezed).collect();
    lines.dedup_by(|next, line| next.trim_end_matches(',') == line.trim_end_matches(','));
    // In C the first one stands behind what the second one has not.
    let repeated =
        lines.iter().position(|line| lines[0] != *line && lines[0].ends_with(line.as_str()));
    if let Some(at) = repeated {
        lines.remove(at);
    }
    squeezed(&lines.concat())
}

/// Without the white space, and the commas, that formatters move.
fn squeezed(code: &str) -> String {
    code.split_whitespace().collect::<String>().replace(",)", ")").replace(",]", "]")
}
