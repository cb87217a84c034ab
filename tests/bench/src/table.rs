//! What is measured, and how it is shown.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// One way of doing one thing, with a figure of each round.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Filled in by the caller of the line.
    pub line: String,
    /// What was done, such as `carriers, 100000 events`.
    pub case: String,
    /// How, such as `wasm, execute`.
    pub way: String,
    /// What the figures count.
    pub unit: &'static str,
    /// The median of the rounds.
    pub median: f64,
    /// All rounds, in order.
    pub rounds: Vec<f64>,
    /// The same beside other ways of this run.
    pub ratios: Vec<Ratio>,
}

/// One way beside another.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// The other way.
    pub beside: String,
    /// The median of the rounds' ratios: both of a round met the same noise.
    pub ratio: f64,
    /// What it should be at least.
    pub goal: Option<f64>,
}

impl Row {
    /// A row without ratios.
    pub fn new(case: &str, way: &str, unit: &'static str, rounds: Vec<f64>) -> Self {
        let median = median(&rounds);
        let (case, way) = (case.to_owned(), way.to_owned());
        Self { line: String::new(), case, way, unit, median, rounds, ratios: Vec::new() }
    }
}

/// Measures all ways in turns, and gives a row to each.
pub async fn in_turns<W: Copy>(
    rounds: usize,
    ways: &[(&str, W)],
    case: &str,
    unit: &'static str,
    mut measure: impl AsyncFnMut(W) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Row>> {
    let mut figures = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for ((_, way), figures) in ways.iter().zip(&mut figures) {
            figures.push(measure(*way).await?);
        }
    }
    let rows = ways.iter().zip(figures);
    Ok(rows.map(|((name, _), figures)| Row::new(case, name, unit, figures)).collect())
}

/// Notes how one way of the same case stands beside another.
pub fn compare(rows: &mut [Row], way: &str, beside: &str, goal: Option<f64>) {
    let figures = |way: &str| rows.iter().find(|row| row.way == way).map(|row| row.rounds.clone());
    let (Some(ours), Some(theirs)) = (figures(way), figures(beside)) else { return };
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let ratio = Ratio { beside: beside.to_owned(), ratio: median(&ratios), goal };
    if let Some(row) = rows.iter_mut().find(|row| row.way == way) {
        row.ratios.push(ratio);
    }
}

/// Notes that a figure should not be more than this.
pub fn within(row: &mut Row, limit: f64) {
    let beside = format!("the {limit} {} allowed", row.unit);
    row.ratios.push(Ratio { beside, ratio: limit / row.median, goal: Some(1.0) });
}

/// The middle one.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// For people.
pub fn show(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["case", "way", "median", "least", "most", "", "beside"]);
    for row in rows {
        let least = row.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = row.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ratios: Vec<String> = row.ratios.iter().map(Ratio::show).collect();
        table.add_row([
            row.case.clone(),
            row.way.clone(),
            figure(row.median),
            figure(least),
            figure(most),
            row.unit.to_owned(),
            ratios.join("\n"),
        ]);
    }
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

impl Ratio {
    fn show(&self) -> String {
        let goal = self.goal.map_or_else(String::new, |goal| {
            let verdict = if self.ratio >= goal { "reached" } else { "missed" };
            format!(" (goal {goal}: {verdict})")
        });
        format!("{:.2} of {}{goal}", self.ratio, self.beside)
    }
}

fn figure(figure: f64) -> String {
    match figure.abs() {
        0.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// For programs.
pub fn json(server: &str, cores: usize, rows: &[Row]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(
        &serde_json::json!({ "server": server, "cores": cores, "rows": rows }),
    )
}
