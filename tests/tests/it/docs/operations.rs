//! The list of operations of the HTTP API, from its document.

use std::fmt::Write as _;

use eventfabric_tests::workspace;
use serde_json::Value;

#[test]
fn the_golden_list_of_operations_is_that_of_the_api() {
    let api = std::fs::read_to_string(workspace().join("tests/golden/openapi.json")).unwrap();
    let made = page(&serde_json::from_str(&api).unwrap());
    let path = workspace().join("docs/reference/http.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "{} lists other operations: UPDATE_GOLDEN=1", path.display());
}

fn page(api: &Value) -> String {
    let mut page = "# Operations\n\nGenerated from the API's own document, which a host serves as `/openapi.json` and shows \
                    at `/docs`.\n\n| | | answers |\n|---|---|---|\n"
        .to_owned();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(summary) = operation["summary"].as_str() else { continue };
            let answers: Vec<&str> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let method = method.to_uppercase();
            let summary = summary.trim_end_matches('.').replace('|', "\\|");
            writeln!(page, "| `{method} {path}` | {summary} | {} |", answers.join(", ")).unwrap();
        }
    }
    page
}
