//! Reads the text form of PostgreSQL's parse trees (`pg_node_tree`): which relations, functions,
//! operators and types a statement names.
//!
//! The reader keeps no shape of the tree. It cuts the text into tokens as the server's own reader
//! does, and takes every field whose name says that an object id follows. A string inside the tree
//! (an alias, a column's name) can look like such a field, and then adds an id or spoils the
//! reading, and the statement is refused; it can never hide one.

use std::collections::BTreeSet;

/// What a parse tree names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Types of nodes, such as `OPEXPR`.
    pub nodes: BTreeSet<String>,
    /// Nodes that stand in no other node: one for each statement.
    pub roots: usize,
    /// Relations (`pg_class`).
    pub relations: BTreeSet<u32>,
    /// Functions (`pg_proc`), those of aggregates and windows included.
    pub functions: BTreeSet<u32>,
    /// Operators (`pg_operator`).
    pub operators: BTreeSet<u32>,
    /// Types (`pg_type`).
    pub types: BTreeSet<u32>,
    /// What the queries do: 1 SELECT, 2 UPDATE, 3 INSERT, 4 DELETE, 5 MERGE.
    pub commands: BTreeSet<u32>,
    /// What the first query does.
    pub first_command: Option<u32>,
    /// Some query has FOR UPDATE or the like.
    pub locks_rows: bool,
    /// Some query returns rows that a function in its list of columns makes.
    pub makes_rows: bool,
    /// How each relation is used: its object id, and what the query locks it for (`rellockmode`: 1 to
    /// read, 2 to lock rows, 3 to write).
    pub locks: BTreeSet<(u32, u32)>,
    /// The same with the rights that the query needs (`requiredPerms`: 1 INSERT, 2 SELECT, 4 UPDATE, 8
    /// DELETE).
    pub needs: BTreeSet<(u32, u32)>,
    /// The kinds of grouping sets, in order: 2 ROLLUP, 3 CUBE, 4 GROUPING SETS.
    pub grouping: Vec<u32>,
    /// System columns that are read, as their negative numbers.
    pub system_columns: BTreeSet<i32>,
}

/// `rellockmode` of a relation that is read and nothing else.
const READS: u32 = 1;
/// `rellockmode` of a table that is written.
const WRITES: u32 = 3;
/// The right (`requiredPerms`) to read.
const SELECT: u32 = 2;

impl Facts {
    /// Relations whose columns are read.
    pub fn reads(&self) -> impl Iterator<Item = u32> {
        self.needs.iter().filter(|(_, rights)| rights & SELECT != 0).map(|(id, _)| *id)
    }

    /// Tables that are written.
    pub fn writes(&self) -> impl Iterator<Item = u32> {
        self.locks.iter().filter(|(_, lock)| *lock == WRITES).map(|(id, _)| *id)
    }

    /// Whether the first query takes its rows from nowhere, so that it has one: `INSERT … VALUES (…)`.
    pub fn one_row(&self) -> bool {
        let takes_rows = |node: &String| matches!(node.as_str(), "RANGETBLREF" | "JOINEXPR");
        !self.makes_rows && !self.nodes.iter().any(takes_rows)
    }

    /// Whether all that is done with a relation is to read it.
    pub fn only_reads(&self, relation: u32) -> bool {
        let of = |(id, number): &(u32, u32)| (*id == relation).then_some(*number);
        let mut locks = self.locks.iter().filter_map(of).peekable();
        locks.peek().is_some()
            && locks.all(|lock| lock == READS)
            && self.needs.iter().filter_map(of).all(|rights| rights & !SELECT == 0)
    }
}

/// A tree that could not be read. The statement is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's parse tree could not be read: {0}")]
pub(super) struct Unreadable(String);

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    ListOpen,
    ListClose,
    Word(&'a str),
}

/// The server's `pg_strtok`: tokens end at white space and brackets; a backslash takes the next
/// character as it is.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\t')) {
            self.at += 1;
        }
        let single = match bytes.get(self.at)? {
            b'{' => Some(Token::Open),
            b'}' => Some(Token::Close),
            b'(' => Some(Token::ListOpen),
            b')' => Some(Token::ListClose),
            _ => None,
        };
        if single.is_some() {
            self.at += 1;
            return single;
        }
        let start = self.at;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\t' | b'(' | b')' | b'{' | b'}' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(bytes.len());
        // A backslash before a character of several bytes: go on to its end.
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        Some(Token::Word(&self.text[start..self.at]))
    }
}

enum Field {
    Relation,
    Function,
    Operator,
    Type,
    Command,
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        ":relid" | ":seqid" => Field::Relation,
        ":funcid" | ":opfuncid" | ":aggfnoid" | ":winfnoid" | ":elemfuncid" | ":hashfuncid"
        | ":negfuncid" | ":tsmhandler" | ":startInRangeFunc" | ":endInRangeFunc" => Field::Function,
        ":opno" | ":opnos" | ":eqop" | ":sortop" | ":aggsortop" | ":cycle_mark_neop" => {
            Field::Operator
        }
        ":typid" | ":msftype" | ":consttype" | ":paramtype" | ":vartype" | ":resulttype"
        | ":funcresulttype" | ":funccoltypes" | ":coltypes" | ":ctecoltypes" | ":aggtype"
        | ":aggargtypes" | ":wintype" | ":opresulttype" | ":array_typeid" | ":element_typeid"
        | ":coalescetype" | ":casetype" | ":minmaxtype" | ":typeId" | ":row_typeid"
        | ":colTypes" | ":refcontainertype" | ":refelemtype" | ":refrestype"
        | ":cycle_mark_type" => Field::Type,
        ":commandType" => Field::Command,
        _ => return None,
    })
}

/// Whether the object ids of a field are looked at.
#[cfg(test)]
pub(super) fn is_read(name: &str) -> bool {
    field(&format!(":{name}")).is_some()
}

/// Reads a tree.
pub(super) fn read(text: &str) -> Result<Facts, Unreadable> {
    let mut facts = Facts::default();
    let mut tokens = Tokens { text, at: 0 }.peekable();
    // The relation that each open node names, if any.
    let mut open: Vec<u32> = Vec::new();
    // The kind is the first field of a grouping set.
    let mut in_grouping = false;
    let bad = |what: &str| Unreadable(what.to_owned());
    while let Some(token) = tokens.next() {
        let name = match token {
            Token::Word(":kind") if in_grouping => {
                in_grouping = false;
                match tokens.next() {
                    Some(Token::Word(word)) => {
                        facts.grouping.push(word.parse().map_err(|_| bad(":kind"))?);
                    }
                    _ => return Err(bad(":kind")),
                }
                continue;
            }
            Token::Open => {
                if open.is_empty() {
                    facts.roots += 1;
                }
                open.push(0);
                let Some(Token::Word(node)) = tokens.next() else {
                    return Err(bad("a node without a type"));
                };
                facts.nodes.insert(node.to_owned());
                in_grouping = node == "GROUPINGSET";
                continue;
            }
            Token::Close => {
                open.pop().ok_or_else(|| bad("a bracket too many"))?;
                continue;
            }
            Token::ListOpen | Token::ListClose => continue,
            Token::Word(word) => word,
        };
        if name == ":rowMarks" {
            facts.locks_rows |= tokens.peek() != Some(&Token::Word("<>"));
            continue;
        }
        if name == ":hasTargetSRFs" {
            facts.makes_rows |= tokens.peek() != Some(&Token::Word("false"));
            continue;
        }
        if name == ":varattno" {
            let number: i32 = match tokens.next() {
                Some(Token::Word(word)) => word.parse().map_err(|_| bad(":varattno"))?,
                _ => return Err(bad(":varattno")),
            };
            if number < 0 {
                facts.system_columns.insert(number);
            }
            continue;
        }
        if matches!(name, ":rellockmode" | ":requiredPerms") {
            let number: u32 = match tokens.next() {
                Some(Token::Word(word)) => word.parse().map_err(|_| bad(name))?,
                _ => return Err(bad(name)),
            };
            let used = if name == ":rellockmode" { &mut facts.locks } else { &mut facts.needs };
            match open.last() {
                None | Some(0) => {}
                Some(relation) => drop(used.insert((*relation, number))),
            }
            continue;
        }
        let Some(field) = field(name) else { continue };
        for oid in oids(&mut tokens).ok_or_else(|| bad(name))? {
            match field {
                Field::Command => {
                    facts.commands.insert(oid);
                    facts.first_command.get_or_insert(oid);
                }
                // An operator's function is filled in when the operator was; zero means none.
                _ if oid == 0 => {}
                Field::Relation => {
                    facts.relations.insert(oid);
                    if let (":relid", Some(of)) = (name, open.last_mut()) {
                        *of = oid;
                    }
                }
                Field::Function => drop(facts.functions.insert(oid)),
                Field::Operator => drop(facts.operators.insert(oid)),
                Field::Type => drop(facts.types.insert(oid)),
            }
        }
    }
    if !open.is_empty() {
        return Err(bad("it ends too early"));
    }
    Ok(facts)
}

/// One number, `<>` for none, or a list such as `(o 23 25)`.
fn oids<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) -> Option<Vec<u32>> {
    match tokens.next()? {
        Token::Word("<>") => Some(Vec::new()),
        Token::Word(word) => Some(vec![word.parse().ok()?]),
        Token::ListOpen => {
            if tokens.next()? != Token::Word("o") {
                return None;
            }
            let mut list = Vec::new();
            loop {
                match tokens.next()? {
                    Token::ListClose => return Some(list),
                    Token::Word(word) => list.push(word.parse().ok()?),
                    _ => return None,
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SELECT count(*) AS "a :relid 5" FROM t WHERE n = $1 FOR UPDATE`, shortened by the fields
    /// that nobody reads.
    const CAPTURED: &str = r#"(({QUERY :commandType 1 :querySource 0 :cteList <> :rtable
        ({RANGETBLENTRY :alias <> :eref {ALIAS :aliasname t :colnames ("id" "a\ b\ \(c\)")}
        :rtekind 0 :relid 16389 :relkind r :rellockmode 2 :tablesample <> :requiredPerms 6
        :selectedCols (b 8 10)})
        :jointree {FROMEXPR :fromlist ({RANGETBLREF :rtindex 1}) :quals {OPEXPR :opno 551
        :opfuncid 177 :args ({VAR :varno 1 :varattno -1 :vartype 23} {CONST :consttype 23
        :constvalue 4 [ 1 0 0 0 ]})}} :targetList ({TARGETENTRY :expr {AGGREF :aggfnoid 2803
        :aggtype 20 :aggargtypes (o 23 25)} :resname a\ :relid\ 5}) :rowMarks ({ROWMARKCLAUSE
        :rti 1})}))"#;

    #[test]
    fn names_every_object_of_a_captured_tree() {
        let facts = read(CAPTURED).unwrap();
        assert_eq!(facts.roots, 1);
        assert_eq!(facts.relations, [16389].into());
        assert_eq!(facts.functions, [177, 2803].into());
        assert_eq!(facts.operators, [551].into());
        assert_eq!(facts.types, [20, 23, 25].into());
        assert_eq!(facts.commands, [1].into());
        assert!(facts.locks_rows);
        assert_eq!((facts.locks, facts.needs), ([(16389, 2)].into(), [(16389, 6)].into()));
        assert_eq!(facts.system_columns, [-1].into());
        assert!(facts.nodes.contains("ROWMARKCLAUSE") && facts.nodes.contains("ALIAS"));
    }

    #[test]
    fn a_string_that_looks_like_a_field_spoils_the_reading() {
        assert!(read("({ALIAS :aliasname :relid :colnames <>})").is_err());
        // With a field behind it, nothing is hidden either.
        assert!(read("({ALIAS :aliasname :relid :relid 7})").is_err());
        assert!(read(r"({ALIAS :aliasname \{X :relid 7})").unwrap().relations.contains(&7));
    }

    #[test]
    fn two_statements_are_two_roots() {
        assert_eq!(read("(({QUERY :commandType 1} {QUERY :commandType 4}))").unwrap().roots, 2);
        assert_eq!(read("(())").unwrap().roots, 0);
        assert_eq!(read("<>").unwrap().roots, 0);
    }

    #[test]
    fn broken_trees_are_errors() {
        for text in ["({QUERY", "({QUERY}})", "({})", "({Q :relid x})", "({Q :opnos (i 1)})"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
