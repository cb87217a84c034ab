//! What a new plugin of each language is made of, and which names it can't have.

use crate::cli::build::Language;

/// A file of a template, and its text.
type File = (&'static str, &'static str);

macro_rules! template {
    ($language:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../sdk/", $language, "/template/", $file)))),+]
    };
}

const RUST: &[File] = template!("rust":
    "Cargo.toml.template",
    "gitignore",
    "README.md",
    "src/lib.rs",
    "migrations/001_create_accounts.sql",
    "scenarios/balance.json",
    "scenarios/no_account.json",
);

const PYTHON: &[File] = template!("python":
    "pyproject.toml.template",
    "gitignore",
    "README.md",
    "projection.py",
    "test_projection.py",
    "migrations/001_create_accounts.sql",
    "scenarios/balance.json",
    "scenarios/no_account.json",
);

const TYPESCRIPT: &[File] = template!("typescript":
    "package.json.template",
    "tsconfig.json",
    "npmrc",
    "gitignore",
    "README.md",
    "src/index.ts",
    "test/accounts.test.ts",
    "migrations/001_create_accounts.sql",
    "scenarios/balance.json",
    "scenarios/no_account.json",
);

const C: &[File] = template!("c":
    "CMakeLists.txt.template",
    "gitignore",
    "README.md",
    "src/main.c.template",
    "tests/accounts.c.template",
    "migrations/001_create_accounts.sql",
    "scenarios/balance.json",
    "scenarios/no_account.json",
);

const GO: &[File] = template!("go":
    "go.mod.template",
    "gitignore",
    "README.md",
    "main.go.template",
    "main_test.go.template",
    "migrations/001_create_accounts.sql",
    "scenarios/balance.json",
    "scenarios/no_account.json",
);

/// Names that are a plugin's for the host, and no crate's for Rust.
const NO_CRATES: &[&str] = &[
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue",
    "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "serde", "static", "std", "struct", "test", "trait", "type", "use",
];

/// Names that packages of npm can't have.
const NO_PACKAGES: &[&str] = &["node_modules"];

/// Names that say something else to Go's tools.
const NO_MODULES: &[&str] =
    &["all", "cmd", "internal", "main", "std", "test", "tool", "vendor", "work"];

impl Language {
    /// The files of its template.
    pub(super) fn template(self) -> &'static [File] {
        match self {
            Self::Rust => RUST,
            Self::Typescript => TYPESCRIPT,
            Self::Python => PYTHON,
            Self::Go => GO,
            Self::C => C,
        }
    }

    /// Why a plugin can't be called so in this language, though it can for the host.
    pub(super) fn refuses(self, name: &str) -> Option<&'static str> {
        let (taken, why) = match self {
            Self::Rust => (NO_CRATES, "means something else in Rust, so no crate can be called so"),
            Self::Typescript => {
                (NO_PACKAGES, "means something else to npm, so no package can be called so")
            }
            Self::Python => {
                let why = "ends with an underscore, as no package of Python may";
                return name.ends_with('_').then_some(why);
            }
            Self::C => return None,
            Self::Go => (NO_MODULES, "means something else to Go, so no module can be called so"),
        };
        taken.contains(&name).then_some(why)
    }
}

/// Where a file of a template goes: some would be taken for what they are where the template lies.
pub(super) fn place(file: &str) -> String {
    match file {
        "gitignore" | "npmrc" => format!(".{file}"),
        file => file.strip_suffix(".template").unwrap_or(file).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum as _;

    use super::*;

    fn files(folder: &Path, below: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => files(&entry.path(), &format!("{name}/"), found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn every_file_of_a_template_is_written() {
        for language in Language::value_variants() {
            let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk").join(language.folder());
            let (mut there, mut written) = (Vec::new(), Vec::new());
            files(&sdk.join("template"), "", &mut there);
            written.extend(language.template().iter().map(|(file, _)| (*file).to_owned()));
            there.sort();
            written.sort();
            assert_eq!(there, written, "{language:?}");
        }
    }

    #[test]
    fn what_a_tool_would_take_for_its_own_is_called_otherwise_in_a_template() {
        assert_eq!(place("gitignore"), ".gitignore");
        assert_eq!(place("go.mod.template"), "go.mod");
        assert_eq!(place("src/lib.rs"), "src/lib.rs");
    }
}
