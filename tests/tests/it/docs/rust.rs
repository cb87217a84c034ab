//! The Rust of the book is what is compiled somewhere: here (samples.rs), in the tests of the SDK, in a template. That of
//! sessions.md is run, as the documentation of its module.

use std::path::{Path, PathBuf};

use eventfabric_tests::workspace;

use super::blocks::blocks;

/// Compiled, and never called.
#[expect(dead_code, unused_variables, reason = "what the book shows")]
mod samples;

/// Where it is compiled.
const COMPILED: [&str; 3] = [
    "tests/tests/it/docs/rust/samples.rs",
    "sdk/rust/tests/book.rs",
    "sdk/rust/template/src/lib.rs",
];

#[test]
fn the_code_of_the_book_is_compiled_somewhere() {
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    };
    let compiled = COMPILED.map(|file| squeezed(&read(&workspace().join(file))));
    let of_the_crate = Path::new("docs/sessions.md");
    let mut count = 0;
    for block in
        blocks().iter().filter(|block| block.kind.starts_with("rust") && block.page != of_the_crate)
    {
        // What is included is the file itself, and the tutorial's changes are compared with the template.
        if block.text.contains("{{#include") || block.page.starts_with("docs/tutorial") {
            continue;
        }
        let code = squeezed(&block.text);
        let found = compiled.iter().any(|file| file.contains(&code));
        assert!(
            found,
            "{}:{}: no file of {COMPILED:?} has\n{}",
            block.page.display(),
            block.line,
            block.text
        );
        count += 1;
    }
    assert!(count > 8, "where has the code gone?");
}

/// Without the white space, and the commas, that formatters move.
fn squeezed(code: &str) -> String {
    let code: String = code.split_whitespace().collect();
    code.replace(",)", ")").replace(",}", "}").replace(",]", "]")
}
