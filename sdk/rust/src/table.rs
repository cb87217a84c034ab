//! Read models by key: what a batch does to a row is merged before it is written.

use std::collections::BTreeMap;

use crate::{Result, Tx, Value};

/// A table of the plugin that is written by its key.
///
/// What a batch does to one key is merged in the plugin, so that a counter that is touched 500
/// times is written once, and is written in the order of the keys, so that two workers wait for
/// each other in no circle. The rows are those that one statement for each call would leave:
///
/// | call | statement |
/// |---|---|
/// | [`upsert`](Self::upsert) | `INSERT … ON CONFLICT (key) DO UPDATE SET column = EXCLUDED.column` |
/// | [`increment`](Self::increment) | `INSERT … ON CONFLICT (key) DO UPDATE SET column = coalesce(t.column, 0) + EXCLUDED.column` |
/// | [`delete`](Self::delete) | `DELETE … WHERE key = …` |
///
/// They are written before the next read and at the end of the batch, after the calls of
/// [`Tx::run`]; a call of `run` that names the table keeps its place among them. A statement that
/// depends on them without naming the table (a foreign key, a view) needs a [`Tx::flush`] before
/// it. A row that can't be written is blamed on its event where it stems from one.
///
/// ```
/// use eventfabric_sdk::{columns, prelude::*, testing::RecordingTx};
///
/// const COUNTERS: Table = Table::new("counters", &["key"]);
///
/// let db = RecordingTx::new();
/// let tx = Tx::new(&db);
/// for _ in 0..500 {
///     COUNTERS.increment(&tx, params!["a"], [("n", 2)])?;
/// }
/// COUNTERS.upsert(&tx, params!["a"], columns! { label: "first" })?;
/// tx.finish(Ok(()))?;
/// assert_eq!(db.calls_of("INSERT INTO \"counters\""), [params!["a", "first", 1000_i64]]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    name: &'static str,
    key: &'static [&'static str],
}

/// Columns with their values, for [`Table::upsert`].
///
/// ```
/// use eventfabric_sdk::{columns, prelude::*};
///
/// let row = columns! { label: "first", last: 7_i64 };
/// assert_eq!(row, [("label", Value::Text("first".into())), ("last", Value::Int64(7))]);
/// ```
#[macro_export]
macro_rules! columns {
    ($($name:ident: $value:expr),* $(,)?) => {
        [$((stringify!($name), $crate::ToValue::to_value(&$value))),*]
    };
}

impl Table {
    /// A table with the columns of its primary key, or of another unique index without a
    /// condition.
    pub const fn new(name: &'static str, key: &'static [&'static str]) -> Self {
        Self { name, key }
    }

    /// Inserts the row, or sets these columns where it is there already.
    ///
    /// # Errors
    /// Those of an earlier statement; its own come when the row is written.
    ///
    /// # Panics
    /// Where `key` has more or fewer values than the table has key columns.
    pub fn upsert(
        &self,
        tx: &Tx<'_>,
        key: Vec<Value>,
        columns: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<()> {
        let mut columns = columns.into_iter();
        self.change(tx, &key, |row| {
            row.written = true;
            for (column, value) in columns.by_ref() {
                row.adds.remove(column);
                row.sets.insert(column, value);
            }
            Ok(())
        })
    }

    /// Adds to columns of integers or numerics, where NULL counts as 0; where the row is not there
    /// yet, it is inserted with these. (There is none for floats: their sums depend on the order.)
    ///
    /// # Errors
    /// As [`upsert`](Self::upsert).
    ///
    /// # Panics
    /// As [`upsert`](Self::upsert).
    pub fn increment(
        &self,
        tx: &Tx<'_>,
        key: Vec<Value>,
        by: impl IntoIterator<Item = (&'static str, i64)>,
    ) -> Result<()> {
        let mut left = by.into_iter().peekable();
        self.change(tx, &key, |row| {
            row.written = true;
            while let Some(&(column, by)) = left.peek() {
                row.add(column, by)?;
                left.next();
            }
            Ok(())
        })
    }

    /// Deletes the row, if it is there.
    ///
    /// # Errors
    /// As [`upsert`](Self::upsert).
    ///
    /// # Panics
    /// As [`upsert`](Self::upsert).
    pub fn delete(&self, tx: &Tx<'_>, key: Vec<Value>) -> Result<()> {
        self.change(tx, &key, |row| {
            row.sets.clear();
            row.adds.clear();
            (row.deleted, row.written) = (true, false);
            Ok(())
        })
    }

    fn change(
        &self,
        tx: &Tx<'_>,
        key: &[Value],
        mut change: impl FnMut(&mut Row) -> Result<(), Unmergeable>,
    ) -> Result<()> {
        assert_eq!(key.len(), self.key.len(), "the key of {} is {:?}", self.name, self.key);
        let order: Vec<u8> = key.iter().flat_map(sortable).collect();
        tx.merge(|tables, event| {
            let rows = &mut tables.0.entry(self.name).or_insert((*self, BTreeMap::new())).1;
            let row = rows.entry(order.clone()).or_insert_with(|| Row::new(key.to_vec(), event));
            if row.event != event {
                row.event = None;
            }
            change(row)
        })
    }

    fn insert(&self, row: &Row) -> String {
        let columns = || row.sets.keys().chain(row.adds.keys());
        let names: Vec<String> =
            self.key.iter().chain(columns()).map(|name| quoted(name)).collect();
        let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let set = |name: &&str| format!("{0} = EXCLUDED.{0}", quoted(name));
        let add = |name: &&str| format!("{0} = coalesce(t.{0}, 0) + EXCLUDED.{0}", quoted(name));
        let changes: Vec<String> =
            row.sets.keys().map(set).chain(row.adds.keys().map(add)).collect();
        let changes = match changes.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", changes.join(", ")),
        };
        format!(
            "INSERT INTO {} AS t ({}) VALUES ({}) ON CONFLICT ({}) DO {changes}",
            quoted(self.name),
            names.join(", "),
            places.join(", "),
            names[..self.key.len()].join(", "),
        )
    }

    fn remove(&self) -> String {
        let equal = |(name, place): (&&str, usize)| format!("{} = ${place}", quoted(name));
        let equals: Vec<String> = self.key.iter().zip(1..).map(equal).collect();
        format!("DELETE FROM {} WHERE {}", quoted(self.name), equals.join(" AND "))
    }
}

/// What the batch has done to tables so far, by their names and keys, in an order that is the same
/// for every worker.
#[derive(Default)]
pub(crate) struct Tables(BTreeMap<&'static str, (Table, BTreeMap<Vec<u8>, Row>)>);

impl Tables {
    /// Whether a statement may touch one of them.
    pub(crate) fn are_named_in(&self, statement: &str) -> bool {
        self.0.keys().any(|name| statement.contains(name))
    }

    /// How many rows are to be written.
    pub(crate) fn rows(&self) -> usize {
        self.0.values().map(|(_, rows)| rows.len()).sum()
    }

    /// The statements with their parameters and the event that each stems from.
    pub(crate) fn into_calls(self) -> impl Iterator<Item = (String, Vec<Value>, Option<u32>)> {
        self.0.into_values().flat_map(|(table, rows)| {
            rows.into_values().flat_map(move |row| {
                let delete = row.deleted.then(|| (table.remove(), row.key.clone(), row.event));
                let insert = row.written.then(|| {
                    let (text, event) = (table.insert(&row), row.event);
                    let mut params = row.key;
                    params.extend(row.sets.into_values());
                    params.extend(row.adds.into_values().map(Value::Int64));
                    (text, params, event)
                });
                delete.into_iter().chain(insert)
            })
        })
    }
}

/// Two changes of one row that only the database can put together.
pub(crate) struct Unmergeable;

/// What the batch has done to one row.
struct Row {
    key: Vec<Value>,
    /// Whatever was there goes first.
    deleted: bool,
    /// The row is there at the end.
    written: bool,
    sets: BTreeMap<&'static str, Value>,
    adds: BTreeMap<&'static str, i64>,
    event: Option<u32>,
}

impl Row {
    fn new(key: Vec<Value>, event: Option<u32>) -> Self {
        let (sets, adds) = (BTreeMap::new(), BTreeMap::new());
        Self { key, deleted: false, written: false, sets, adds, event }
    }

    fn add(&mut self, column: &'static str, by: i64) -> Result<(), Unmergeable> {
        let Some(set) = self.sets.get_mut(column) else {
            let sum = self.adds.entry(column).or_default();
            *sum = sum.checked_add(by).ok_or(Unmergeable)?;
            return Ok(());
        };
        let known = match *set {
            Value::Null => 0,
            Value::Int16(n) => n.into(),
            Value::Int32(n) => n.into(),
            Value::Int64(n) => n,
            _ => return Err(Unmergeable),
        };
        *set = Value::Int64(known.checked_add(by).ok_or(Unmergeable)?);
        Ok(())
    }
}

/// Bytes of a value that sort, and are equal, as the value does among values of its column.
fn sortable(value: &Value) -> Vec<u8> {
    let number = |n: i64| (n ^ i64::MIN).to_be_bytes().to_vec();
    // The end of a text sorts before all that could go on: zero can't be in one.
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    match value {
        Value::Boolean(it) => vec![u8::from(*it)],
        Value::Int16(it) => number((*it).into()),
        Value::Int32(it) | Value::Date(it) => number((*it).into()),
        Value::Int64(it) | Value::Timestamptz(it) => number(*it),
        Value::Text(it) | Value::Uuid(it) | Value::Numeric(it) | Value::Json(it) => text(it),
        Value::Other((_, it)) => text(it),
        other => text(&format!("{other:?}")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        SqlErrorKind, params,
        testing::{RecordingTx, rows, sql_error},
    };

    const COUNTERS: Table = Table::new("counters", &["key"]);

    fn calls(write: impl FnOnce(&Tx<'_>) -> Result<()>) -> Vec<(String, Vec<Value>)> {
        let db = RecordingTx::new();
        let tx = Tx::new(&db);
        write(&tx).unwrap();
        tx.finish(Ok(())).unwrap();
        db.calls()
    }

    #[test]
    fn rows_are_written_once_and_in_the_order_of_their_keys() {
        let calls = calls(|tx| {
            for key in [300_i64, -1, 2, 300, 2] {
                COUNTERS.increment(tx, params![key], [("n", 1), ("m", 2)])?;
            }
            Ok(())
        });
        let params: Vec<_> = calls.iter().map(|(_, params)| params.clone()).collect();
        let want = [(-1_i64, 2_i64, 1_i64), (2, 4, 2), (300, 4, 2)];
        assert_eq!(params, want.map(|(key, m, n)| params![key, m, n]));
        assert_eq!(
            calls[0].0,
            "INSERT INTO \"counters\" AS t (\"key\", \"m\", \"n\") VALUES ($1, $2, $3) \
             ON CONFLICT (\"key\") DO UPDATE SET \"m\" = coalesce(t.\"m\", 0) + EXCLUDED.\"m\", \
             \"n\" = coalesce(t.\"n\", 0) + EXCLUDED.\"n\""
        );
    }

    #[test]
    fn a_statement_that_names_the_table_keeps_its_place() {
        let calls = calls(|tx| {
            tx.run("INSERT INTO notes VALUES (1)", vec![])?;
            COUNTERS.increment(tx, params![1], [("n", 1)])?;
            tx.run("INSERT INTO notes VALUES (2)", vec![])?;
            tx.run("DELETE FROM counters", vec![])?;
            COUNTERS.increment(tx, params![1], [("n", 1)])?;
            tx.run("INSERT INTO notes VALUES (3)", vec![])
        });
        let texts: Vec<_> = calls.iter().map(|(text, _)| &text[..20]).collect();
        let insert = "INSERT INTO \"counter";
        let note = "INSERT INTO notes VA";
        assert_eq!(texts, [note, note, insert, "DELETE FROM counters", note, insert]);
    }

    #[test]
    fn sums_that_overflow_are_left_to_the_database() {
        let calls = calls(|tx| {
            COUNTERS.increment(tx, params![1], [("m", 1), ("n", i64::MAX)])?;
            COUNTERS.increment(tx, params![1], [("m", 1), ("n", 1)])
        });
        let params: Vec<_> = calls.into_iter().map(|(_, params)| params).collect();
        assert_eq!(params, [params![1, 2_i64, i64::MAX], params![1, 1_i64]]);
    }

    #[test]
    fn a_row_of_one_event_is_blamed_on_it_and_a_row_of_several_on_none() {
        for (events, blamed) in [([2, 2], Some(2)), ([1, 2], None)] {
            let db = RecordingTx::new();
            db.fail("counters", sql_error(SqlErrorKind::Constraint, "23514", "check"));
            let tx = Tx::new(&db);
            for index in events {
                tx.blame(
                    &crate::Event::<serde_json::Value>::parse(
                        crate::testing::event("Counted", "{}"),
                        index,
                    )
                    .unwrap(),
                );
                COUNTERS.increment(&tx, params![1], [("n", 1)]).unwrap();
            }
            assert_eq!(tx.finish(Ok(())).unwrap_err().event(), blamed);
        }
    }

    #[test]
    fn a_read_sees_what_was_merged_before_it() {
        let db = RecordingTx::new();
        db.answer("SELECT", rows(["n"], [params![1]]));
        let tx = Tx::new(&db);
        COUNTERS.delete(&tx, params![1]).unwrap();
        COUNTERS.upsert(&tx, params![1], [("n", Value::Int32(1))]).unwrap();
        tx.scalar::<i32>("SELECT n FROM counters", vec![]).unwrap();
        let texts = db.statements();
        assert!(texts[0].starts_with("DELETE") && texts[1].starts_with("INSERT"), "{texts:?}");
        assert_eq!(texts.len(), 3);
    }

    /// A table of keys and two counters, as the database would keep it.
    #[derive(Default, Debug, PartialEq)]
    struct Model(BTreeMap<String, BTreeMap<String, Option<i64>>>);

    impl Model {
        fn apply(&mut self, text: &str, params: &[Value]) {
            let key = format!("{:?}", params[0]);
            if text.starts_with("DELETE") {
                self.0.remove(&key);
                return;
            }
            let columns = text.split_once('(').unwrap().1.split_once(')').unwrap().0;
            let there = self.0.contains_key(&key);
            let row = self.0.entry(key).or_default();
            for (column, value) in columns.split(", ").zip(params).skip(1) {
                let new = match value {
                    Value::Null => None,
                    Value::Int64(n) => Some(*n),
                    other => panic!("{other:?}"),
                };
                let adds = text.contains(&format!("{column} = coalesce"));
                let old = row.get(column).copied().flatten().filter(|_| there && adds);
                row.insert(column.to_owned(), old.map_or(new, |old| Some(old + new.unwrap())));
            }
        }
    }

    #[test]
    fn merged_writes_leave_the_rows_that_single_ones_leave() {
        // A generator of its own (xorshift64, Marsaglia 2003), so that a failure comes again.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..2000 {
            let changes: Vec<_> = (0..next(12))
                .map(|_| (next(3), next(3) as i32, next(2), next(5) as i64 - 2))
                .collect();
            let write = |tx: &Tx<'_>, (what, key, column, n): (u64, i32, u64, i64)| {
                let column = ["m", "n"][column as usize];
                match what {
                    0 => COUNTERS.increment(tx, params![key], [(column, n)]),
                    1 if n == 0 => COUNTERS.upsert(tx, params![key], [(column, Value::Null)]),
                    1 => COUNTERS.upsert(tx, params![key], [(column, Value::Int64(n))]),
                    _ => COUNTERS.delete(tx, params![key]),
                }
            };
            let model = |flush_each: bool| {
                let mut model = Model::default();
                let db = RecordingTx::new();
                let tx = Tx::new(&db);
                for change in &changes {
                    write(&tx, *change).unwrap();
                    if flush_each {
                        tx.flush().unwrap();
                    }
                }
                tx.finish(Ok(())).unwrap();
                for (text, params) in db.calls() {
                    model.apply(&text, &params);
                }
                (model, db.calls().len())
            };
            let ((alone, many), (merged, few)) = (model(true), model(false));
            assert_eq!(merged, alone, "{changes:?}");
            assert!(few <= many && few <= 6, "{changes:?}: {few} of {many}");
        }
    }
}
