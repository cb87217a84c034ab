//! The tables of `docs/reference/settings.md`: names and defaults from the settings themselves, what they are from
//! the comments beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::names::{ANY, known};

/// What is above it is written by hand.
const MARK: &str = "<!-- What follows is generated from the code: UPDATE_GOLDEN=1. -->\n";

#[test]
fn the_golden_list_of_settings_is_that_of_the_code() {
    let path = eventfabric_testdb::workspace().join("docs/reference/settings.md");
    let there = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = there.split_once(MARK).expect("the mark in settings.md");
    let made = format!("{by_hand}{MARK}{}", Sources::read().page());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    } else {
        assert!(there == made, "{} lists other settings: UPDATE_GOLDEN=1", path.display());
    }
}

/// A field with its comment.
struct Field {
    name: String,
    kind: String,
    doc: String,
}

/// The structs and enums of the host, by their names.
#[derive(Default)]
pub(super) struct Sources {
    structs: BTreeMap<String, Vec<Field>>,
    /// What each variant is in a settings file.
    enums: BTreeMap<String, Vec<String>>,
}

/// A line of a table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) doc: String,
}

impl Sources {
    pub(super) fn read() -> Self {
        let mut sources = Self::default();
        let mut left = vec![eventfabric_testdb::workspace().join("host/src")];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|end| end == "rs") {
                sources.take(&path);
            }
        }
        sources
    }

    /// Reads what rustfmt has written: a field or a variant a line.
    fn take(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let mut attributes = String::new();
        while let Some(line) = lines.next() {
            let name = |line: &str| line.trim_end_matches(" {").to_owned();
            if line.starts_with("#[") {
                attributes.push_str(line);
            } else if let Some(head) =
                line.strip_prefix("pub struct ").filter(|it| it.ends_with('{'))
            {
                let body = lines.by_ref().take_while(|line| *line != "}");
                let fields = fields(body);
                if fields.is_empty() {
                    continue;
                }
                // Others of the same name are no settings.
                if attributes.contains("Deserialize") || !self.structs.contains_key(&name(head)) {
                    self.structs.insert(name(head), fields);
                }
            } else if let Some(head) = line.strip_prefix("pub enum ") {
                let body = lines.by_ref().take_while(|line| *line != "}");
                let variants = variants(body, attributes.contains("kebab-case"));
                if attributes.contains("Deserialize") {
                    self.enums.insert(name(head), variants);
                }
            } else if !line.starts_with("//") {
                attributes.clear();
            }
        }
    }

    /// All settings, in the order in which the code has them.
    pub(super) fn settings(&self) -> Vec<Row> {
        let (known, places) = (known(), self.places());
        let mut rows = Vec::new();
        for field in &self.structs["Settings"] {
            self.rows(field, "", &places, &known, &mut rows);
        }
        rows
    }

    fn page(&self) -> String {
        let (known, places) = (known(), self.places());
        let mut page = String::new();
        let (mut single, mut sections) = (Vec::new(), Vec::new());
        for field in &self.structs["Settings"] {
            let mut rows = Vec::new();
            self.rows(field, "", &places, &known, &mut rows);
            if rows.len() == 1 && rows[0].name == field.name {
                single.append(&mut rows);
            } else {
                sections.push((field, rows));
            }
        }
        page.push_str("\n## At the top\n\n");
        table(&single, &mut page);
        for (field, rows) in sections {
            let doc = links(&field.doc, "", &places);
            write!(page, "\n## {}\n\n{doc}\n\n", field.name).unwrap();
            table(&rows, &mut page);
        }
        page
    }

    /// Where each struct stands in the settings: the first of its places.
    fn places(&self) -> BTreeMap<String, String> {
        let mut places = BTreeMap::from([("Settings".to_owned(), String::new())]);
        self.place("Settings", "", &mut places);
        places
    }

    fn place(&self, of: &str, path: &str, places: &mut BTreeMap<String, String>) {
        for field in self.structs.get(of).into_iter().flatten() {
            let inner = inner(&field.kind);
            if self.structs.contains_key(inner) && !places.contains_key(inner) {
                let path = format!("{path}{}.", field.name);
                places.insert(inner.to_owned(), path.clone());
                self.place(inner, &path, places);
            }
        }
    }

    fn rows(
        &self,
        field: &Field,
        path: &str,
        places: &BTreeMap<String, String>,
        known: &Map<String, Value>,
        rows: &mut Vec<Row>,
    ) {
        let (mut kind, mut name) = (field.kind.as_str(), format!("{path}{}", field.name));
        while let Some((around, within)) = around(kind) {
            kind = within;
            match around {
                "BTreeMap" | "HashMap" => name.push_str(".NAME"),
                "Vec" if self.structs.contains_key(kind) => name.push_str("[]"),
                _ => {}
            }
        }
        // A map of texts by another name.
        if kind == "Headers" {
            (kind, name) = ("String", format!("{name}.NAME"));
        }
        if let Some(fields) = self.structs.get(kind) {
            for field in fields {
                self.rows(field, &format!("{name}."), places, known, rows);
            }
            return;
        }
        let mut doc = field.doc.clone();
        // What is said beside something that is no setting.
        if let Some((of, other)) = refers(&doc)
            && !places.contains_key(of)
            && let Some(other) =
                self.structs.get(of).and_then(|all| all.iter().find(|it| it.name == other))
        {
            doc = other.doc.clone();
        }
        rows.push(Row {
            kind: self.kind(
                &field.name,
                kind,
                field.kind.contains("Vec<") || field.kind.contains("Set<"),
            ),
            default: default(&name, known),
            doc: links(&doc, path, places),
            name,
        });
    }

    fn kind(&self, name: &str, kind: &str, many: bool) -> String {
        if let Some(variants) = self.enums.get(kind) {
            let one = if many { "list of " } else { "" };
            return format!("{one}{}", variants.join(", "));
        }
        let kind = match kind {
            "Duration" => "time",
            "bool" => "true or false",
            "PathBuf" => "path",
            "SocketAddr" => "address",
            "DatabaseUrl" => "address of a database",
            "String" | "Seal" | "Secret" | "Subject" | "NatsUrl" => "text",
            number if number.len() < 6 && number != "Start" || number == "usize" => {
                if name.contains("bytes") || name.ends_with("memory") { "bytes" } else { "number" }
            }
            _ => "text or number",
        };
        if many { format!("list of {kind}") } else { kind.to_owned() }
    }
}

fn table(rows: &[Row], page: &mut String) {
    page.push_str("| setting, variable | kind | default | |\n|---|---|---|---|\n");
    for Row { name, kind, default, doc } in rows {
        let variable = super::given::variable(name);
        // A list is one variable.
        let variable = match name.contains("[]") {
            true => String::new(),
            false => format!("<br>`{variable}`"),
        };
        writeln!(page, "| `{name}`{variable} | {kind} | {default} | {doc} |").unwrap();
    }
}

fn default(name: &str, known: &Map<String, Value>) -> String {
    if name == "cache_dir" {
        return "`eventfabric` in `$XDG_CACHE_HOME` or `~/.cache`".to_owned();
    }
    let mut value = &Value::Object(known.clone());
    for part in name.split('.') {
        let (part, list) = part.strip_suffix("[]").map_or((part, false), |part| (part, true));
        value = &value[if part == "NAME" { ANY } else { part }];
        if list {
            return String::new();
        }
    }
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => {
            let mib =
                number.as_u64().filter(|_| name.contains("bytes") || name.ends_with("memory"));
            match mib.filter(|bytes| *bytes >= 1 << 20 && bytes % (1 << 20) == 0) {
                Some(bytes) => format!("{number} ({} MiB)", bytes >> 20),
                None => number.to_string(),
            }
        }
        value => value.to_string(),
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut doc = String::new();
    let mut fields = Vec::new();
    for line in lines.map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            doc = format!("{doc} {}", more.trim()).trim().to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("pub ").and_then(|it| it.split_once(": "))
        {
            fields.push(Field {
                name: name.trim_start_matches("r#").to_owned(),
                kind: kind.trim_end_matches(',').to_owned(),
                doc: std::mem::take(&mut doc),
            });
        }
    }
    fields
}

fn variants<'a>(lines: impl Iterator<Item = &'a str>, kebab: bool) -> Vec<String> {
    let names = lines
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    let names = names.map(|line| {
        let (name, of) =
            line.trim_end_matches(',').split_once('(').unwrap_or((line.trim_end_matches(','), ""));
        let mut text = String::new();
        for (at, char) in name.char_indices() {
            if kebab && at > 0 && char.is_ascii_uppercase() {
                text.push('-');
            }
            text.push(char.to_ascii_lowercase());
        }
        if of.is_empty() { format!("`\"{text}\"`") } else { format!("`{{ {text} = […] }}`") }
    });
    names.collect()
}

/// What a type is around another one.
fn around(kind: &str) -> Option<(&str, &str)> {
    let (around, within) = kind.strip_suffix('>')?.split_once('<')?;
    match around {
        "BTreeMap" | "HashMap" => Some((around, within.split_once(", ")?.1)),
        _ => Some((around, within)),
    }
}

fn inner(kind: &str) -> &str {
    around(kind).map_or(kind, |(_, within)| inner(within))
}

/// The struct and the field of `See [`Struct::field`].`
fn refers(doc: &str) -> Option<(&str, &str)> {
    doc.strip_prefix("See [`")?.strip_suffix("`].")?.split_once("::")
}

/// Names of the code as names of settings.
fn links(doc: &str, path: &str, places: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = doc;
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`]").expect("the end of a link");
        let name = match name.rsplit_once("::") {
            Some(("Self", name)) => format!("{path}{name}"),
            Some((of, name)) => {
                places.get(of).map_or(name.to_owned(), |place| format!("{place}{name}"))
            }
            None => name.to_owned(),
        };
        write!(text, "{before}`{name}`").unwrap();
        rest = after;
        // The address of a link.
        if let Some(after) = rest.strip_prefix('(').and_then(|after| after.split_once(')')) {
            rest = after.1;
        }
    }
    text.push_str(rest);
    text.replace('|', "\\|")
}
