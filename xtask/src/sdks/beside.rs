//! Several languages at a time: their tools mostly keep one processor busy, and wait for files.

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use anyhow::bail;

use super::Language;
use crate::run::{command, target_dir};

/// How many at a time.
const WORKERS: usize = 2;

/// Those that take long come first, so that none is left over at the end.
const LONGEST_FIRST: [Language; 5] =
    [Language::Python, Language::Typescript, Language::Go, Language::C, Language::Rust];

/// Each language by a process of its own, whose output is printed when it has ended.
pub fn each_other(languages: &[Language]) -> anyhow::Result<()> {
    let waiting = LONGEST_FIRST.into_iter().filter(|language| languages.contains(language));
    let (waiting, failed) = (Mutex::new(waiting), Mutex::new(Vec::new()));
    let work = || {
        while let Some(language) = next(&waiting) {
            let (said, done) = of(language);
            // In one piece.
            print!("{said}");
            if let Err(error) = done {
                let error = format!("{}: {error:#}", language.folder());
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

fn next(waiting: &Mutex<impl Iterator<Item = Language>>) -> Option<Language> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// What a language's process has said, and whether all was well.
fn of(language: Language) -> (String, anyhow::Result<()>) {
    let mut said = Vec::new();
    let done = run(language, &mut said);
    (String::from_utf8_lossy(&said).into_owned(), done)
}

fn run(language: Language, said: &mut Vec<u8>) -> anyhow::Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    let program = target_dir().join(format!("debug/xtask{}", std::env::consts::EXE_SUFFIX));
    let mut child = {
        // It has the ends to write to, which must be gone when the child is.
        let mut xtask = command(program);
        xtask.args(["sdks", language.folder()]);
        xtask.stdout(writer.try_clone()?).stderr(writer).spawn()?
    };
    reader.read_to_end(said)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{status}: see above");
    }
    Ok(())
}
