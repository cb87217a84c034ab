//! `eventfabric verify`

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;

use super::connect::Context;
use super::exit::{Exit, NOT_AS_SEALED};
use super::{exit, output};
use crate::event::{DEFAULT_TENANT, StreamId};
use crate::store::seal::{self, Finding, Head, Seal, Seen, Summary};

/// Findings that are printed; the others are counted.
const PRINTED: u64 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// One stream; without it all streams of all tenants
    #[arg(value_name = "AGGREGATE/ID")]
    stream: Option<String>,
    /// The tenant of the stream
    #[arg(long, default_value = DEFAULT_TENANT, requires = "stream")]
    tenant: String,
    /// Events without a seal are not as they should be
    #[arg(long)]
    strict: bool,
    /// The newest events were these once, as --write-heads wrote them, and are to be there still
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    heads: Option<PathBuf>,
    /// Write the newest sealed event of each stream to FILE, to be kept away from the database
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    write_heads: Option<PathBuf>,
    /// Answer in JSON: one object a line for each event that is not as it was, then the numbers
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, command: Verify) -> anyhow::Result<()> {
    let seal = context.settings.seal_key.clone().context(
        "which key? Set EVENTFABRIC_SEAL_KEY or EVENTFABRIC_SEAL_KEY_FILE to what sealed the events",
    )?;
    let tenant = command.stream.as_ref().map(|_| command.tenant.as_str());
    let pool = context.pool_of(tenant).await?;
    let mut report = Report { json: command.json, printed: 0 };
    let mut total = match &command.stream {
        Some(name) => {
            let (aggregate, id) = name
                .split_once('/')
                .ok_or_else(|| exit::bad_input(format!("{name}: name a stream as AGGREGATE/ID")))?;
            let stream = StreamId::new(aggregate, id).in_tenant(&command.tenant);
            let seen = seal::verify_stream(&pool, &seal, &stream).await?;
            if seen.summary.events + seen.summary.findings + seen.summary.detached == 0 {
                return Err(exit::bad_input(format!("{stream}: there is no such stream")));
            }
            report.tell(&seen.findings)?;
            seen.summary
        }
        None => all(&pool, &seal, command.write_heads.as_deref(), &mut report).await?,
    };
    if let Some(file) = &command.heads {
        total.findings += compare(&pool, file, &mut report).await?;
    }
    report.sum(&total)?;
    let unsealed = if command.strict { total.unsealed } else { 0 };
    if total.findings + unsealed == 0 {
        return Ok(());
    }
    let message = match total.findings {
        0 => format!("{unsealed} events have no seal"),
        n => format!("the log is not what was sealed: {n} events"),
    };
    Err(Exit { code: NOT_AS_SEALED, message }.into())
}

/// Looks at all streams.
async fn all(
    pool: &PgPool,
    seal: &Seal,
    heads: Option<&Path>,
    report: &mut Report,
) -> anyhow::Result<Summary> {
    // Under another name until it is known that they are worth keeping.
    let unfinished = heads.map(|file| file.with_added_extension("unfinished"));
    let create = |file: &PathBuf| {
        File::create(file).with_context(|| format!("{} cannot be written", file.display()))
    };
    let mut file = unfinished.as_ref().map(create).transpose()?.map(BufWriter::new);
    let bar = progress();
    let total = seal::verify(pool, seal, |seen: &Seen| -> anyhow::Result<()> {
        bar.inc(seen.summary.events);
        if let (Some(file), Some(head)) = (&mut file, &seen.head) {
            serde_json::to_writer(&mut *file, head)?;
            file.write_all(b"\n")?;
        }
        bar.suspend(|| report.tell(&seen.findings))
    })
    .await?;
    bar.finish_and_clear();
    if let (Some(mut file), Some(unfinished), Some(heads)) = (file, unfinished, heads) {
        file.flush()?;
        file.get_ref().sync_all()?;
        if total.findings == 0 {
            std::fs::rename(&unfinished, heads)
                .with_context(|| format!("{} cannot be written", heads.display()))?;
        } else {
            std::fs::remove_file(&unfinished)?;
            tracing::warn!("the heads were not written: the log is not what was sealed");
        }
    }
    Ok(total)
}

/// A spinner with the events that were read, on a terminal.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} events  {per_sec}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Looks for the events that were the newest ones once. Answers how many are not there.
async fn compare(pool: &PgPool, file: &Path, report: &mut Report) -> anyhow::Result<u64> {
    let lines = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut findings = 0;
    for (number, line) in BufReader::new(lines).lines().enumerate() {
        let line = line.with_context(|| file.display().to_string())?;
        let head: Head = serde_json::from_str(&line).map_err(|error| {
            exit::bad_input(format!("{}:{}: {error}", file.display(), number + 1))
        })?;
        if let Some(finding) = head.check(pool).await? {
            findings += 1;
            report.tell(&[finding])?;
        }
    }
    Ok(findings)
}

/// What is printed.
struct Report {
    json: bool,
    printed: u64,
}

impl Report {
    fn tell(&mut self, findings: &[Finding]) -> anyhow::Result<()> {
        for Finding { stream, version, problem } in findings {
            self.printed += 1;
            if self.printed > PRINTED {
                continue;
            }
            output::line(&match self.json {
                true => serde_json::json!({
                    "tenant": stream.tenant,
                    "aggregate": stream.aggregate,
                    "id": stream.id,
                    "version": version,
                    "problem": problem,
                })
                .to_string(),
                false => output::on_one_line(&format!("{stream}, version {version}: {problem}")),
            })?;
        }
        Ok(())
    }

    fn sum(&self, total: &Summary) -> anyhow::Result<()> {
        if self.json {
            return output::line(&serde_json::to_string(total)?);
        }
        if self.printed > PRINTED {
            output::line(&format!("… and {} more", self.printed - PRINTED))?;
        }
        output::line(&format!(
            "{} streams, {} events: {} without a seal, {} in detached partitions, {} not as they were",
            total.streams, total.events, total.unsealed, total.detached, total.findings
        ))
    }
}
