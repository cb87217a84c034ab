//! `eventfabric projections costs`

use sqlx::PgPool;

use super::{exit, output};
use crate::plugin::{self, ProjectionCost, TypeCost};

/// Whose costs.
#[derive(Debug, clap::Args)]
pub(super) struct Costs {
    /// The projection [default: all]
    name: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(pool: &PgPool, command: Costs) -> anyhow::Result<()> {
    let name = command.name.as_deref();
    let all = plugin::costs(pool, name).await?;
    if let Some(name) = name
        && all.is_empty()
    {
        let known = plugin::registered(pool).await?;
        if !known.iter().any(|known| known.name == name) {
            return Err(exit::bad_input(format!(
                "there is no projection `{name}`; `eventfabric projections list` shows those that there are"
            )));
        }
    }
    if command.json {
        return output::value(&all);
    }
    let header = [
        "projection",
        "event type",
        "events",
        "in wasm",
        "in SQL",
        "statements",
        "rows read",
        "rows written",
        "bytes",
    ];
    let rows = all.iter().flat_map(|one| {
        std::iter::once(together(one)).chain(one.types.iter().map(|of_type| {
            let mut row = vec![one.projection.clone()];
            row.extend(cells(of_type));
            row
        }))
    });
    output::table(&header, rows)
}

/// The first row of a projection: what an event cost on average, of whatever type.
fn together(of: &ProjectionCost) -> Vec<String> {
    let cost = &of.cost;
    let each = |number: u64| number as f64 / cost.events.max(1) as f64;
    let failed = match cost.failed_calls {
        0 => String::new(),
        failed => format!("\n{failed} of {} calls failed", cost.calls),
    };
    vec![
        of.projection.clone(),
        format!("(all){failed}"),
        cost.events.to_string(),
        time(each(cost.wasm_us)),
        time(each(cost.sql_us)),
        number(each(cost.statements)),
        number(each(cost.rows_read)),
        number(each(cost.rows_written)),
        number(each(cost.bytes)),
    ]
}

fn cells(of: &TypeCost) -> Vec<String> {
    let sign = if of.exact { "" } else { "~ " };
    let about = |us: f64, margin: f64| match of.exact {
        true => time(us),
        false => format!("~ {} ± {}", time(us), time(margin)),
    };
    let number = |each: f64| format!("{sign}{}", number(each));
    vec![
        of.event_type.clone(),
        of.events.to_string(),
        about(of.wasm_us, of.wasm_margin_us),
        about(of.sql_us, of.sql_margin_us),
        number(of.statements),
        number(of.rows_read),
        number(of.rows_written),
        number(of.bytes),
    ]
}

/// A time for people, given in microseconds.
pub(super) fn time(us: f64) -> String {
    match us {
        1_000_000.0.. => format!("{:.1} s", us / 1e6),
        1000.0.. => format!("{:.1} ms", us / 1000.0),
        10.0.. => format!("{us:.0} µs"),
        _ => format!("{us:.1} µs"),
    }
}

fn number(each: f64) -> String {
    match each {
        100.0.. => format!("{each:.0}"),
        10.0.. => format!("{each:.1}"),
        _ => format!("{each:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_shown_as_one() {
        let known = TypeCost {
            events: 3,
            exact: true,
            wasm_us: 12.3,
            sql_us: 1500.0,
            ..TypeCost::default()
        };
        assert_eq!(cells(&known)[2..4], ["12 µs", "1.5 ms"]);
        let guessed = TypeCost { exact: false, wasm_margin_us: 0.51, ..known };
        assert_eq!(cells(&guessed)[2..5], ["~ 12 µs ± 0.5 µs", "~ 1.5 ms ± 0.0 µs", "~ 0.00"]);
    }
}
