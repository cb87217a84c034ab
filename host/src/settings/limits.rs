//! The tables of `docs/reference/limits.md`: what can be set from the settings, within which bounds by asking the
//! checks of the settings, and what cannot from the constants and the comments above them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Settings;
use super::reference::{Row, Sources};

/// What is above it is written by hand.
const MARK: &str = "<!-- What follows is generated from the code: UPDATE_GOLDEN=1. -->\n";

/// The limits of one matter.
struct Matter {
    title: &'static str,
    /// Settings, or what their names begin with.
    set: &'static [&'static str],
    /// The file, the name of the constant, and its unit; none for a time, which has its own.
    fixed: &'static [(&'static str, &'static str, &'static str)],
}

const MATTERS: &[Matter] = &[
    Matter {
        title: "Names, identifiers and positions",
        set: &[],
        fixed: &[
            ("event.rs", "MAX_NAME", "bytes"),
            ("event.rs", "MAX_VERSION", ""),
            ("event.rs", "MAX_POSITION", ""),
            ("plugin/version.rs", "NAME_LENGTH", "characters"),
            ("relay/config.rs", "NAME_LENGTH", "characters"),
            ("relay/subject.rs", "LONGEST", "bytes"),
            ("store/dismissal.rs", "MAX_NAME", "bytes"),
            ("store/dismissal.rs", "MAX_REASON", "bytes"),
            ("http/append.rs", "KEY_LENGTH", "characters"),
            ("http/tokens.rs", "LEAST_LENGTH", "characters"),
            ("store/seal/keys.rs", "LEAST", "bytes"),
        ],
    },
    Matter {
        title: "Appends and reads",
        set: &["append_timeout"],
        fixed: &[
            ("store/append/group.rs", "APPENDS", "appends"),
            ("store/append/group.rs", "BYTES", "bytes"),
            ("store/payload.rs", "EXPONENT", "digits"),
            ("store/schema/mod.rs", "MAX_SCHEMA_BYTES", "bytes"),
            ("store/read.rs", "PAGE", "events"),
            ("store/read.rs", "PAGE_BYTES", "bytes"),
            ("store/query/mod.rs", "TIMEOUT", ""),
            ("cli/line.rs", "MAX_BYTES", "bytes"),
        ],
    },
    Matter {
        title: "Plugins",
        set: &["limits."],
        fixed: &[
            ("plugin/folder.rs", "FILE_BYTES", "bytes"),
            ("plugin/describe.rs", "TEXT_LENGTH", "characters"),
            ("plugin/describe.rs", "LABELS", "labels"),
            ("plugin/describe.rs", "LABEL_LENGTH", "characters"),
            ("plugin/describe.rs", "MIGRATIONS", "migrations"),
            ("plugin/describe.rs", "MIGRATION_BYTES", "bytes"),
            ("plugin/queries.rs", "QUERIES", "queries"),
            ("plugin/queries.rs", "PARAMETERS", "parameters"),
            ("plugin/queries.rs", "TEXT_LENGTH", "characters"),
            ("plugin/config.rs", "SETTINGS", "settings"),
            ("plugin/config.rs", "KEY", "bytes"),
            ("plugin/config.rs", "VALUE", "bytes"),
            ("plugin/engine.rs", "CORE_INSTANCES", "instances"),
            ("plugin/engine.rs", "TABLES", "tables"),
            ("plugin/engine.rs", "MEMORIES", "memories"),
            ("plugin/wasi.rs", "RANDOM_BYTES", "bytes"),
            ("plugin/wasi.rs", "WRITE_BYTES", "bytes"),
            ("plugin/host.rs", "HANDLES", "handles"),
            ("plugin/failure.rs", "MESSAGE_BYTES", "bytes"),
            ("plugin/logs.rs", "WAITING", "lines"),
            ("plugin/process.rs", "PAGE", "events"),
            ("runner/answers.rs", "ANSWERED", "events"),
            ("plugin/outgoing/request.rs", "HEADERS", "headers"),
            ("plugin/outgoing/client.rs", "HEADERS", "headers"),
            ("plugin/outgoing/client.rs", "HEAD_BYTES", "bytes"),
            ("plugin/compile/mod.rs", "COMPILERS", "compilers"),
            ("plugin/compile/cache.rs", "BYTES", "bytes"),
        ],
    },
    Matter {
        title: "SQL of plugins",
        set: &["sandbox."],
        fixed: &[
            ("sandbox/batch.rs", "MAX_CALLS", "calls"),
            ("sandbox/batch.rs", "MAX_BYTES", "bytes"),
            ("sandbox/batch.rs", "MAX_STATEMENTS", "statements"),
        ],
    },
    Matter {
        title: "Runners",
        set: &["max_connections", "query_connections", "runner.", "projection.NAME.shards"],
        fixed: &[
            ("runner/host.rs", "CONTROL_CONNECTIONS", "connections"),
            ("runner/tail.rs", "EVENTS", "events"),
            ("runner/tail.rs", "BYTES", "bytes"),
            ("runner/catch_up/mod.rs", "LANES", "tenants"),
            ("runner/tasks.rs", "RETRY_LANES", "projections"),
        ],
    },
    Matter {
        title: "HTTP",
        set: &["http.limits."],
        fixed: &[
            ("http/find.rs", "KINDS", "kinds"),
            ("http/find.rs", "SEARCH", ""),
            ("http/log.rs", "SEARCH", ""),
            ("http/plugin_rows.rs", "MOST", "rows"),
            ("http/plugin_rows.rs", "BYTES", "bytes"),
            ("http/plugin_rows.rs", "TIME", ""),
            ("http/state.rs", "READINGS", "queries"),
            ("http/plugin_diff.rs", "MOST", "events"),
            ("http/metrics.rs", "TOPICS", "topics"),
            ("http/costs.rs", "TYPES", "pairs"),
        ],
    },
    Matter { title: "Tenants with a database each", set: &["tenancy."], fixed: &[] },
    Matter { title: "Relays", set: &["relay.NAME."], fixed: &[] },
    Matter {
        title: "Traces",
        set: &["telemetry."],
        fixed: &[
            ("telemetry/export.rs", "WAITING", "spans"),
            ("telemetry/export.rs", "BATCH", "spans"),
            ("trace/span.rs", "LINKS", "links"),
            ("trace/context.rs", "STATE_LENGTH", "characters"),
        ],
    },
];

#[test]
fn the_golden_list_of_limits_is_that_of_the_code() {
    let path = eventfabric_testdb::workspace().join("docs/reference/limits.md");
    let there = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = there.split_once(MARK).expect("the mark in limits.md");
    let made = format!("{by_hand}{MARK}{}", page());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    } else {
        assert!(there == made, "{} lists other limits: UPDATE_GOLDEN=1", path.display());
    }
}

fn page() -> String {
    let settings = Sources::read().settings();
    let (own, all): (Vec<Row>, Vec<Row>) =
        settings.into_iter().partition(|row| row.name.contains(".plugin.NAME."));
    let mut page = String::new();
    for Matter { title, set, fixed } in MATTERS {
        write!(page, "\n## {title}\n").unwrap();
        let named = |row: &&Row| {
            set.iter()
                .any(|set| row.name == *set || set.ends_with('.') && row.name.starts_with(set))
        };
        let limits: Vec<&Row> = all.iter().filter(named).filter(|row| is_limit(row)).collect();
        assert_eq!(limits.is_empty(), set.is_empty(), "{title}");
        if !limits.is_empty() {
            page.push_str(
                "\n| can be set | bounds | unit | default | range |\n|---|---|---|---|---|\n",
            );
        }
        for Row { name, kind, default, doc } in limits {
            let range = range(name, kind, default).unwrap_or_default();
            // What can differ for one plugin.
            let one = name.split_once('.').map(|(of, limit)| format!("{of}.plugin.NAME.{limit}"));
            let one = one.filter(|one| own.iter().any(|row| row.name == *one));
            let one = one.map(|one| format!("<br>`{one}`")).unwrap_or_default();
            writeln!(page, "| `{name}`{one} | {doc} | {kind} | {default} | {range} |").unwrap();
        }
        if !fixed.is_empty() {
            page.push_str("\n| fixed | value | constant |\n|---|---|---|\n");
        }
        for (file, name, unit) in *fixed {
            let Constant { doc, value } = constant(file, name);
            let value = match (unit, value) {
                (_, Amount::Time(text)) => text,
                (&"bytes", Amount::Number(bytes)) => in_bytes(bytes),
                (_, Amount::Number(number)) => format!("{} {unit}", grouped(number)),
            };
            let value = value.trim();
            let name = format!("{}::{name}", file.trim_end_matches(".rs").replace('/', "::"));
            writeln!(page, "| {doc} | {value} | `{}` |", name.replace("::mod::", "::")).unwrap();
        }
    }
    page
}

/// Numbers, bytes and times; the others of the settings are no limits.
fn is_limit(row: &Row) -> bool {
    let is_share = row.default.contains('.');
    matches!(row.kind.as_str(), "number" | "bytes" | "time") && !is_share
}

/// What the checks of the settings let pass, the others being as they are by default.
fn range(name: &str, kind: &str, default: &str) -> Option<String> {
    if kind == "time" {
        return (!accepted(name, &json!("0s"))).then(|| "longer than nothing".to_owned());
    }
    let digits = default.split_whitespace().next()?;
    let default: i64 = digits.parse().ok()?;
    assert!(accepted(name, &json!(default)), "{name} can't be what it is");
    let takes = |value: i64| accepted(name, &json!(value));
    let least = between(-1, default, |value| !takes(value)) + 1;
    let greatest = if takes(i64::MAX) { i64::MAX } else { between(default, i64::MAX, takes) };
    // What is no more than the type of the number.
    let is_bound = ![i64::MAX, u32::MAX.into(), i32::MAX.into()].contains(&greatest);
    match (least, is_bound) {
        (0, false) => None,
        (_, false) => Some(format!("from {}", grouped(least))),
        (_, true) => Some(format!("{} to {}", grouped(least), grouped(greatest))),
    }
}

/// The last value that is as `low` is, by halving what is between the two.
fn between(low: i64, high: i64, is_low: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (low, high);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_low(middle) { low = middle } else { high = middle }
    }
    low
}

fn accepted(name: &str, value: &Value) -> bool {
    let mut settings = json!({});
    let relay = json!({ "url": "nats://127.0.0.1", "stream": "EVENTS" });
    if name.starts_with("relay.") {
        settings["relay"]["name"] = relay;
    }
    let mut place = &mut settings;
    for part in name.replace("NAME", "name").split('.') {
        place = &mut place[part];
    }
    *place = value.clone();
    let Ok(mut settings) = serde_json::from_value::<Settings>(settings) else { return false };
    settings.http.allow_anonymous = true;
    let checks = [
        settings.host().check(),
        settings.http.check(([127, 0, 0, 1], 0).into()),
        settings.tenancy.check(),
        crate::relay::NatsConfig::check_all(&settings.relay),
    ];
    checks.iter().all(Result::is_ok)
}

/// A constant of the host.
struct Constant {
    /// The comment above it.
    doc: String,
    value: Amount,
}

enum Amount {
    Number(i128),
    Time(String),
}

/// Reads what rustfmt has written.
fn constant(file: &str, name: &str) -> Constant {
    let path = eventfabric_testdb::workspace().join("host/src").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut doc = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("/// ") {
            doc = format!("{doc} {more}").trim().to_owned();
            continue;
        }
        let visible = line.find("const ").map_or("", |at| &line[at..]);
        if !line.starts_with(' ')
            && let Some(rest) = visible.strip_prefix(&format!("const {name}: "))
        {
            let (_, value) = rest.trim_end_matches(';').split_once(" = ").expect("a value");
            assert!(!doc.is_empty(), "{file}: say above {name} what it bounds");
            return Constant { doc: doc.replace(['[', ']'], ""), value: amount(value) };
        }
        doc.clear();
    }
    panic!("{file} has no constant {name}");
}

fn amount(text: &str) -> Amount {
    if let Some((unit, count)) =
        text.strip_prefix("Duration::from_").and_then(|rest| rest.split_once('('))
    {
        let count = number(count.trim_end_matches(')'));
        let unit = match unit {
            "millis" => "ms",
            "secs" => "s",
            other => panic!("{other} is a new unit"),
        };
        return Amount::Time(format!("{count} {unit}"));
    }
    Amount::Number(number(text))
}

/// A number, or a product or a shift of numbers.
fn number(text: &str) -> i128 {
    if let Some((left, right)) = text.split_once(" * ") {
        return number(left) * number(right);
    }
    if let Some((left, right)) = text.split_once(" << ") {
        return number(left) << number(right);
    }
    match text {
        "i32::MAX" => i32::MAX.into(),
        "i64::MAX" => i64::MAX.into(),
        text => text.replace('_', "").parse().unwrap_or_else(|_| panic!("{text} is no number")),
    }
}

fn in_bytes(bytes: i128) -> String {
    let exact = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = exact.into_iter().find(|(bits, _)| bytes >= 1 << bits && bytes % (1 << bits) == 0);
    let unit = unit.map(|(bits, unit)| format!(" ({} {unit})", bytes >> bits));
    format!("{} bytes{}", grouped(bytes), unit.unwrap_or_default())
}

fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_bounds_of_settings_are_found_by_their_checks() {
    assert_eq!(range("relay.NAME.batch", "number", "500").as_deref(), Some("1 to 5,000"));
    assert_eq!(range("max_connections", "number", "20").as_deref(), Some("from 5"));
    assert_eq!(range("limits.host_calls", "number", "1"), None);
    assert_eq!(range("runner.poll", "time", "`250ms`").as_deref(), Some("longer than nothing"));
}
