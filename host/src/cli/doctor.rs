//! `eventfabric doctor`

use super::connect::Context;
use super::exit::{Exit, FAILED};
use super::output;
use crate::runner::doctor::{Checked, Patient, Severity, examine};

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Leave this check out: what it finds is meant to be so
    #[arg(long, value_name = "CHECK")]
    pub ignore: Vec<String>,
    /// Attack the sandbox of plugins in this database instead, in transactions that are rolled back,
    /// and tell what held
    #[arg(long, conflicts_with = "ignore")]
    pub attack: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Looks at everything. Ends with 1 when there is something to do, or an attack was not stopped.
pub(super) async fn run(context: &Context, command: Doctor) -> anyhow::Result<()> {
    if command.attack {
        return super::attack::run(context, command.json).await;
    }
    let settings = &context.settings;
    let patient = Patient {
        private: settings.embedded.clone(),
        ..Patient::new(context.pool_as_it_is().await?, settings.host())
    };
    let mut checked = examine(&patient).await;
    checked.retain(|checked| !command.ignore.iter().any(|name| name == checked.check));
    let findings = checked.iter().flat_map(|checked| &checked.findings);
    let findings = findings.filter(|finding| finding.severity > Severity::Note).count();
    if command.json {
        output::value(&serde_json::json!({ "healthy": findings == 0, "checks": checked }))?;
    } else {
        checked.iter().try_for_each(print)?;
    }
    if findings == 0 {
        return Ok(());
    }
    let message = match findings {
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    Err(Exit { code: FAILED, message }.into())
}

fn print(checked: &Checked) -> anyhow::Result<()> {
    if checked.findings.is_empty() {
        return output::line(&format!("ok       {}", checked.check));
    }
    for finding in &checked.findings {
        let severity = match finding.severity {
            Severity::Note => "note   ",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        };
        let what = output::on_one_line(&finding.what);
        output::line(&format!("{severity}  {}: {}: {what}", checked.check, finding.place))?;
        output::line(&format!("         do: {}", finding.advice))?;
    }
    Ok(())
}
