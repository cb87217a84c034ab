//! The book of `docs`, by mdBook, which is compiled once into target/tools.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run::{cargo, command, has, root, run, target_dir};

/// The version of mdBook.
const VERSION: &str = "0.5.4";

/// Builds the book into target/book. Compiling mdBook takes some minutes, the book a moment.
pub fn book() -> anyhow::Result<()> {
    let tools = target_dir().join("tools");
    let mdbook = tools.join("bin").join(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    if !has(command(&mdbook).arg("--version")) {
        let install = ["install", "mdbook", "--version", VERSION, "--locked"];
        let features = ["--no-default-features", "--features", "search"];
        run(cargo(&install).args(features).arg("--root").arg(&tools))?;
    }
    let book = target_dir().join("book");
    run(command(&mdbook).args(["build", "docs", "--dest-dir"]).arg(&book))?;
    leave(&book, &book)?;
    println!("{}", book.join("index.html").display());
    Ok(())
}

/// Has links that leave the folder `docs` lead to the files of the checkout; mdBook takes all that ends in `.md` for a page.
fn leave(book: &Path, folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            leave(book, &path)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let page = path.strip_prefix(book)?;
            let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let mut changed = text.clone();
            for link in links.filter(|link| link.starts_with("../")) {
                if let Some(file) = outside(page, link) {
                    let file = format!("href=\"file://{}\"", file.display());
                    changed = changed.replace(&format!("href=\"{link}\""), &file);
                }
            }
            if changed != text {
                fs::write(&path, changed)?;
            }
        }
    }
    Ok(())
}

/// The file of the checkout to which a link of a page leads, where that is none of `docs`.
fn outside(page: &Path, link: &str) -> Option<PathBuf> {
    let link = link.split('#').next()?;
    let docs = root().join("docs").canonicalize().ok()?;
    let named = docs.join(page).with_file_name(link);
    let file =
        [named.clone(), named.with_extension("md")].into_iter().find(|file| file.exists())?;
    let file = file.canonicalize().ok()?;
    (!file.starts_with(docs)).then_some(file)
}
