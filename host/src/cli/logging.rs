//! Logs to stderr, with the trace that a line belongs to.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::args::{Args, Command, LogFormat};
use crate::trace;

/// What is logged to an author, who looks at rows.
const QUIET: &str = "warn,sqlx=error,plugin=off";

pub(super) fn start(args: &Args) {
    // A slow statement is news to who runs a host; who asks for much is told by the wait.
    let usual = match args.command {
        // What a relay meets is said by the relay.
        Command::Run(_) => "info,sqlx=warn,async_nats=off",
        // What went wrong in the plugin is told by the command itself.
        Command::Dev(_) => QUIET,
        Command::Plugin(ref plugin) if plugin.is_of_author() => QUIET,
        _ => "info,sqlx=error",
    };
    let filter = args.log.clone().unwrap_or_else(|| usual.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        eprintln!("warning: --log {filter}: {error}; logging at info");
        EnvFilter::new("info")
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Human => {
            logs.fmt_fields(Fields).with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => {
            let lines = Lines(Format::default().json().flatten_event(true));
            logs.json().event_format(lines).init();
        }
    }
}

/// The fields of a line for people: at their end the trace.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let place = trace::current();
        DefaultFields::new().format_fields(writer.by_ref(), fields)?;
        match place {
            Some(at) => write!(writer, " trace_id={} span_id={}", at.trace_id(), at.span_id()),
            None => Ok(()),
        }
    }
}

/// Lines of JSON: at their end the trace.
struct Lines(Format<Json>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(at) = trace::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let Some(object) = line.trim_end().strip_suffix('}') else {
            return writer.write_str(&line);
        };
        let (trace, span) = (at.trace_id(), at.span_id());
        writeln!(writer, r#"{object},"trace_id":"{trace}","span_id":"{span}"}}"#)
    }
}
