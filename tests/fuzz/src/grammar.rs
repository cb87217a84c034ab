//! Random statements: SELECT, INSERT, UPDATE, DELETE and MERGE with what they can hold, in all kinds of
//! quoting, comments, escapes and casing.

use rand::Rng;
use rand::rngs::StdRng;

use crate::mutate::one;

/// The tables of the plugin whose statements these are.
pub const TABLES: &str = "
    CREATE TABLE accounts (
        id bigint PRIMARY KEY, owner text, balance bigint NOT NULL DEFAULT 0, rate numeric,
        active boolean, data jsonb, tags bigint[]);
    CREATE TABLE lines (n bigint PRIMARY KEY, account bigint, amount bigint, note text);
    CREATE VIEW rich AS SELECT id, owner, balance FROM accounts WHERE balance > 100;";

/// What the server has beside the plugin's tables.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Functions with their schemas, and the types of their arguments.
    pub functions: Vec<(String, Vec<String>)>,
    pub types: Vec<String>,
    pub relations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Text,
    Bool,
    Numeric,
    Json,
    Ints,
}

const TYPES: [Type; 6] = [Type::Int, Type::Text, Type::Bool, Type::Numeric, Type::Json, Type::Ints];

/// A table of the plugin, with its columns.
const OWN: [(&str, &[(&str, Type)]); 3] = [
    (
        "accounts",
        &[
            ("id", Type::Int),
            ("owner", Type::Text),
            ("balance", Type::Int),
            ("rate", Type::Numeric),
            ("active", Type::Bool),
            ("data", Type::Json),
            ("tags", Type::Ints),
        ],
    ),
    (
        "lines",
        &[("n", Type::Int), ("account", Type::Int), ("amount", Type::Int), ("note", Type::Text)],
    ),
    ("rich", &[("id", Type::Int), ("owner", Type::Text), ("balance", Type::Int)]),
];

/// Columns that an expression can name: the alias, the column, its type.
type Scope = Vec<(String, &'static str, Type)>;

/// Writes one statement.
pub struct Grammar<'a> {
    rng: &'a mut StdRng,
    /// With what the server has; nothing where only ordinary statements are wanted.
    names: Option<&'a Names>,
    text: String,
    depth: usize,
    aliases: usize,
}

impl<'a> Grammar<'a> {
    /// A statement that is right, and has nothing in it that a plugin may not do.
    pub fn ordinary(rng: &'a mut StdRng) -> String {
        Self::write(rng, None)
    }

    /// A statement in which anything may stand.
    pub fn hostile(rng: &'a mut StdRng, names: &'a Names) -> String {
        Self::write(rng, Some(names))
    }

    fn write(rng: &'a mut StdRng, names: Option<&'a Names>) -> String {
        let mut grammar = Self { rng, names, text: String::new(), depth: 0, aliases: 0 };
        grammar.statement();
        grammar.text
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// Whether something that does not belong here comes next.
    fn spice(&mut self) -> bool {
        self.names.is_some() && self.chance(6)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    /// A token, or several that stand together, as they are.
    fn raw(&mut self, token: &str) {
        let space = match self.rng.random_range(0..40) {
            0 => "\n",
            1 => "\t",
            2 => "/**/",
            3 => " /* ; ' /* \" */ $$ */ ",
            4 => " -- '; \n",
            _ => " ",
        };
        self.text.push_str(space);
        self.text.push_str(token);
    }

    /// Key words, in whatever case.
    fn key(&mut self, words: &str) {
        for word in words.split(' ') {
            let word = match self.rng.random_range(0..4) {
                0 => word.to_lowercase(),
                1 => word
                    .chars()
                    .map(|c| if self.rng.random() { c.to_ascii_lowercase() } else { c })
                    .collect(),
                _ => word.to_owned(),
            };
            self.raw(&word);
        }
    }

    fn quoted_name(&mut self, name: &str) -> String {
        match self.rng.random_range(0..12) {
            0 => format!("\"{name}\""),
            1 => name.to_uppercase(),
            2 => {
                let escaped: String = name.chars().map(|c| format!("\\{:04x}", c as u32)).collect();
                format!("U&\"{escaped}\"")
            }
            3 => format!("\"{name}\"/**/"),
            _ => name.to_owned(),
        }
    }

    fn string(&mut self, text: &str) -> String {
        match self.rng.random_range(0..8) {
            0 => {
                let escaped: String = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
                format!("E'{escaped}'")
            }
            1 => format!("$a${text}$a$"),
            2 => {
                let escaped: String =
                    text.chars().map(|c| format!("\\+{:06x}", c as u32)).collect();
                format!("U&'{escaped}'")
            }
            3 if text.is_ascii() => {
                let (a, b) = text.split_at(text.len() / 2);
                format!("'{}'\n'{}'", a.replace('\'', "''"), b.replace('\'', "''"))
            }
            _ => format!("'{}'", text.replace('\'', "''")),
        }
    }

    fn statement(&mut self) {
        if self.spice() {
            let utility = one(self.rng, UTILITIES);
            self.raw(utility);
            return;
        }
        if self.chance(25) {
            self.with();
        }
        match self.rng.random_range(0..10) {
            0..=4 => self.select(&Scope::new(), None),
            5..=6 => self.insert(),
            7 => self.update(),
            8 => self.delete(),
            _ => self.merge(),
        }
        if self.spice() {
            let end = one(self.rng, ENDS);
            self.raw(end);
        }
    }

    fn with(&mut self) {
        self.key("WITH");
        if self.chance(10) {
            self.key("RECURSIVE");
        }
        for n in 0..self.rng.random_range(1..3) {
            if n > 0 {
                self.raw(",");
            }
            let name = self.alias();
            self.raw(&name);
            self.key("AS");
            if self.chance(30) {
                self.key("NOT MATERIALIZED");
            }
            self.raw("(");
            match self.rng.random_range(0..6) {
                0 => self.update(),
                1 => self.delete(),
                2 => self.insert(),
                _ => self.select(&Scope::new(), None),
            }
            self.raw(")");
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A relation that can be read, and what its alias brings into scope.
    fn from(&mut self, scope: &mut Scope) {
        let alias = self.alias();
        if self.spice() {
            let names = self.names.cloned().unwrap_or_default();
            match self.rng.random_range(0..5) {
                0..=2 => {
                    let relation =
                        names.relations[self.rng.random_range(0..names.relations.len())].clone();
                    self.raw(&relation);
                }
                3 => self.function(&names),
                _ => {
                    let odd = one(self.rng, RELATIONS);
                    self.raw(odd);
                }
            }
            self.raw(&alias);
            return;
        }
        match self.rng.random_range(0..10) {
            0..=6 => {
                let (table, columns) = self.pick(&OWN);
                let table = self.quoted_name(table);
                if self.chance(10) {
                    self.key("ONLY");
                }
                self.raw(&table);
                self.key("AS");
                self.raw(&alias);
                scope.extend(columns.iter().map(|(name, of)| (alias.clone(), *name, *of)));
            }
            7 => {
                self.raw("generate_series(1, 5) AS");
                self.raw(&format!("{alias}(g)"));
                scope.push((alias, "g", Type::Int));
            }
            8 => {
                self.raw("unnest(");
                self.expression(Type::Ints, &Scope::new());
                self.raw(") WITH ORDINALITY AS");
                self.raw(&format!("{alias}(g, o)"));
                scope.push((alias, "g", Type::Int));
            }
            _ => {
                self.key("LATERAL");
                self.raw("(");
                self.select(&Scope::new(), Some(&[Type::Int, Type::Text]));
                self.raw(&format!(") AS {alias}(a, b)"));
                scope.push((alias.clone(), "a", Type::Int));
                scope.push((alias, "b", Type::Text));
            }
        }
    }

    /// A query; of these columns, where that matters.
    fn select(&mut self, outer: &Scope, wanted: Option<&[Type]>) {
        self.depth += 1;
        let wanted: Vec<Type> = match wanted {
            Some(wanted) => wanted.to_vec(),
            None => (0..self.rng.random_range(1..4)).map(|_| self.pick(&TYPES)).collect(),
        };
        self.one_select(outer, &wanted);
        if self.depth < 3 && self.chance(10) {
            let word = one(self.rng, &["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            self.key(word);
            self.one_select(outer, &wanted);
        }
        if self.chance(20) {
            self.key("ORDER BY");
            self.raw("1");
            if self.chance(30) {
                self.key("DESC NULLS LAST");
            }
        }
        if self.chance(20) {
            self.key("LIMIT");
            self.raw("7");
            if self.chance(30) {
                self.key("OFFSET");
                self.raw("1");
            }
        }
        self.depth -= 1;
    }

    fn one_select(&mut self, outer: &Scope, wanted: &[Type]) {
        let mut scope = outer.clone();
        // What stands in FROM comes first here, so that its columns are known.
        let start = self.text.len();
        if self.chance(85) {
            self.key("FROM");
            self.from(&mut scope);
            if self.chance(30) {
                let join = one(self.rng, &["JOIN", "LEFT JOIN", "FULL JOIN"]);
                self.key(join);
                self.from(&mut scope);
                self.key("ON");
                // The condition of a FULL JOIN must be hashable.
                self.raw("1 = 1");
            }
        }
        if self.chance(40) {
            self.key("WHERE");
            self.expression(Type::Bool, &scope);
        }
        let from = self.text.split_off(start);
        self.key("SELECT");
        let distinct = self.chance(10);
        if distinct {
            self.key("DISTINCT");
        }
        if !distinct && self.chance(15) {
            // Aggregates over all rows.
            for (n, of) in wanted.iter().enumerate() {
                self.comma(n);
                self.aggregate(*of, &scope);
            }
            self.text.push_str(&from);
            return;
        }
        for (n, of) in wanted.iter().enumerate() {
            self.comma(n);
            self.expression(*of, &scope);
            self.key("AS");
            self.raw(&format!("c{n}"));
        }
        self.text.push_str(&from);
    }

    fn aggregate(&mut self, of: Type, scope: &Scope) {
        match of {
            Type::Int => self.raw("count(*)"),
            Type::Text => {
                self.raw("string_agg(");
                self.expression(Type::Text, scope);
                self.raw(", ',' ORDER BY 1)");
            }
            Type::Bool => {
                self.raw("bool_and(");
                self.expression(Type::Bool, scope);
                self.raw(")");
                if self.chance(30) {
                    self.key("FILTER");
                    self.raw("(WHERE");
                    self.expression(Type::Bool, scope);
                    self.raw(")");
                }
            }
            Type::Numeric => {
                self.raw("sum(");
                self.expression(Type::Numeric, scope);
                self.raw(")");
            }
            Type::Json => {
                self.raw("jsonb_agg(");
                self.expression(Type::Int, scope);
                self.raw(")");
            }
            Type::Ints => {
                self.raw("array_agg(");
                self.expression(Type::Int, scope);
                self.raw(")");
            }
        }
    }

    fn comma(&mut self, n: usize) {
        if n > 0 {
            self.raw(",");
        }
    }

    fn insert(&mut self) {
        self.key("INSERT INTO");
        if self.spice() {
            let names = self.names.cloned().unwrap_or_default();
            let relation = names.relations[self.rng.random_range(0..names.relations.len())].clone();
            self.raw(&relation);
            self.key("DEFAULT VALUES");
            return;
        }
        let (table, columns) = self.pick(&OWN[..2]);
        let table = self.quoted_name(table);
        self.raw(&table);
        self.key("AS");
        let alias = self.alias();
        self.raw(&alias);
        let some = &columns[..self.rng.random_range(1..=columns.len())];
        self.raw("(");
        for (n, (name, _)) in some.iter().enumerate() {
            self.comma(n);
            let name = self.quoted_name(name);
            self.raw(&name);
        }
        self.raw(")");
        let types: Vec<Type> = some.iter().map(|(_, of)| *of).collect();
        if self.chance(40) {
            self.select(&Scope::new(), Some(&types));
        } else {
            self.key("VALUES");
            for row in 0..self.rng.random_range(1..3) {
                self.comma(row);
                self.raw("(");
                for (n, of) in types.iter().enumerate() {
                    self.comma(n);
                    self.expression(*of, &Scope::new());
                }
                self.raw(")");
            }
        }
        let scope: Scope = columns.iter().map(|(name, of)| (alias.clone(), *name, *of)).collect();
        if self.chance(50) {
            self.key("ON CONFLICT");
            if self.chance(30) {
                self.key("DO NOTHING");
            } else {
                self.raw(&format!("({})", columns[0].0));
                self.key("DO UPDATE SET");
                let (name, of) = self.pick(columns);
                self.raw(name);
                self.raw("=");
                self.expression(of, &scope);
                if self.chance(30) {
                    self.key("WHERE");
                    self.expression(Type::Bool, &scope);
                }
            }
        }
        self.returning(&scope);
    }

    fn returning(&mut self, scope: &Scope) {
        if self.chance(40) {
            self.key("RETURNING");
            let of = self.pick(&TYPES);
            self.expression(of, scope);
        }
    }

    fn target(&mut self) -> (String, &'static [(&'static str, Type)], Scope) {
        let (table, columns) = self.pick(&OWN[..2]);
        let alias = self.alias();
        if self.spice() {
            let names = self.names.cloned().unwrap_or_default();
            let relation = names.relations[self.rng.random_range(0..names.relations.len())].clone();
            self.raw(&relation);
        } else {
            let table = self.quoted_name(table);
            self.raw(&table);
        }
        self.key("AS");
        self.raw(&alias);
        let scope = columns.iter().map(|(name, of)| (alias.clone(), *name, *of)).collect();
        (alias, columns, scope)
    }

    fn update(&mut self) {
        self.key("UPDATE");
        let (_, columns, mut scope) = self.target();
        self.key("SET");
        let (name, of) = self.pick(columns);
        let name = self.quoted_name(name);
        self.raw(&name);
        self.raw("=");
        self.expression(of, &scope);
        if self.chance(30) {
            self.key("FROM");
            self.from(&mut scope);
        }
        self.key("WHERE");
        self.expression(Type::Bool, &scope);
        self.returning(&scope);
    }

    fn delete(&mut self) {
        self.key("DELETE FROM");
        let (_, _, mut scope) = self.target();
        if self.chance(30) {
            self.key("USING");
            self.from(&mut scope);
        }
        self.key("WHERE");
        self.expression(Type::Bool, &scope);
        self.returning(&scope);
    }

    fn merge(&mut self) {
        self.key("MERGE INTO");
        let (alias, columns, mut scope) = self.target();
        self.key("USING");
        let before = scope.len();
        self.from(&mut scope);
        self.key("ON");
        self.raw(&format!("{alias}.{} =", columns[0].0));
        let source: Scope = scope[before..].to_vec();
        self.expression(Type::Int, &source);
        self.key("WHEN MATCHED THEN");
        if self.chance(50) {
            self.key("DELETE");
        } else {
            self.key("UPDATE SET");
            let (name, of) = self.pick(columns);
            self.raw(name);
            self.raw("=");
            self.expression(of, &scope);
        }
        if self.chance(50) {
            self.key("WHEN NOT MATCHED THEN INSERT");
            self.raw(&format!("({})", columns[0].0));
            self.key("VALUES");
            self.raw("(");
            self.expression(Type::Int, &source);
            self.raw(")");
        }
    }

    /// A function of the server's, whichever, with arguments of its types.
    fn function(&mut self, names: &Names) {
        let (name, arguments) =
            names.functions[self.rng.random_range(0..names.functions.len())].clone();
        self.raw(&format!("{name}("));
        for (n, of) in arguments.iter().enumerate() {
            self.comma(n);
            let value = one(self.rng, VALUES);
            let value = self.string(value);
            if value == "'NULL'" {
                self.raw(&format!("NULL::{of}"));
            } else {
                self.raw(&format!("{value}::{of}"));
            }
        }
        self.raw(")");
    }

    fn expression(&mut self, of: Type, scope: &Scope) {
        self.depth += 1;
        if self.spice() {
            let names = self.names.cloned().unwrap_or_default();
            self.raw("(");
            match self.rng.random_range(0..6) {
                0..=2 => self.function(&names),
                3 => {
                    let value = one(self.rng, VALUES);
                    let value = self.string(value);
                    let cast = names.types[self.rng.random_range(0..names.types.len())].clone();
                    self.raw(&format!("{value}::{cast}"));
                }
                4 => {
                    let special = one(self.rng, SPECIAL);
                    self.raw(special);
                }
                _ => {
                    let relation =
                        names.relations[self.rng.random_range(0..names.relations.len())].clone();
                    self.raw(&format!("(SELECT count(*) FROM {relation})"));
                }
            }
            self.raw(&format!(")::text::{}", name(of)));
        } else if self.depth > 6 || self.chance(35) {
            self.leaf(of, scope);
        } else {
            self.compound(of, scope);
        }
        self.depth -= 1;
    }

    fn leaf(&mut self, of: Type, scope: &Scope) {
        let columns: Vec<_> =
            scope.iter().filter(|(_, _, column)| *column == of).cloned().collect();
        if !columns.is_empty() && self.chance(65) {
            let (alias, column, _) = columns[self.rng.random_range(0..columns.len())].clone();
            let column = self.quoted_name(column);
            self.raw(&format!("{alias}.{column}"));
            return;
        }
        match of {
            Type::Int => {
                let number = self.rng.random_range(0..50_i64);
                self.raw(&format!("{number}::bigint"));
            }
            Type::Text => {
                let text = one(self.rng, TEXTS);
                let text = self.string(text);
                self.raw(&format!("{text}::text"));
            }
            Type::Bool => {
                let word = one(self.rng, &["TRUE", "FALSE", "NULL::boolean"]);
                self.raw(word);
            }
            Type::Numeric => self.raw("1.50"),
            Type::Json => {
                let text = one(self.rng, &[r#"{"a":[1,2],"b":null}"#, "[]", "3", r#""x""#]);
                let text = self.string(text);
                self.raw(&format!("{text}::jsonb"));
            }
            Type::Ints => {
                let array = one(self.rng, &["ARRAY[1,2]::bigint[]", "'{}'::bigint[]"]);
                self.raw(array);
            }
        }
    }

    fn call(&mut self, function: &str, arguments: &[Type], scope: &Scope) {
        self.raw(&format!("{function}("));
        for (n, of) in arguments.iter().enumerate() {
            self.comma(n);
            self.expression(*of, scope);
        }
        self.raw(")");
    }

    fn between(&mut self, left: Type, operator: &str, right: Type, scope: &Scope) {
        self.raw("(");
        self.expression(left, scope);
        self.raw(operator);
        self.expression(right, scope);
        self.raw(")");
    }

    fn compound(&mut self, of: Type, scope: &Scope) {
        use Type::{Bool, Int, Ints, Json, Numeric, Text};
        match self.rng.random_range(0..10) {
            0 => {
                self.key("CASE WHEN");
                self.expression(Bool, scope);
                self.key("THEN");
                self.expression(of, scope);
                self.key("ELSE");
                self.expression(of, scope);
                return self.key("END");
            }
            1 => return self.call("coalesce", &[of, of], scope),
            2 => return self.call("nullif", &[of, of], scope),
            3 if self.depth < 4 => {
                self.raw("(");
                self.select(scope, Some(&[of]));
                // More rows than one are an error of its own.
                return self.raw(")");
            }
            _ => {}
        }
        match (of, self.rng.random_range(0..8)) {
            (Int, 0..=2) => {
                let operator = one(self.rng, &["+", "-", "*", "%", "&", "OPERATOR(pg_catalog.+)"]);
                self.between(Int, operator, Int, scope);
            }
            (Int, 3) => self.call("abs", &[Int], scope),
            (Int, 4) => {
                self.call("length", &[Text], scope);
                self.raw("::bigint");
            }
            (Int, 5) => self.call("greatest", &[Int, Int], scope),
            (Int, 6) => {
                self.raw("coalesce((");
                self.expression(Ints, scope);
                self.raw(")[1], 0)");
            }
            (Int, _) => {
                self.raw("cardinality(");
                self.expression(Ints, scope);
                self.raw(")::bigint");
            }
            (Text, 0..=1) => self.between(Text, "||", Text, scope),
            (Text, 2) => self.call("upper", &[Text], scope),
            (Text, 3) => self.call("concat", &[Text, Int], scope),
            (Text, 4) => {
                self.raw("substring(");
                self.expression(Text, scope);
                self.raw("FROM 1 FOR 2)");
            }
            (Text, 5) => {
                self.expression(Text, scope);
                self.raw(r#"COLLATE "C""#);
            }
            (Text, 6) => self.call("replace", &[Text, Text, Text], scope),
            (Text, _) => {
                self.raw("(");
                self.expression(Json, scope);
                self.raw("->> 'a')");
            }
            (Bool, 0..=1) => {
                let operator = one(self.rng, &["=", "<>", "<", ">=", "IS DISTINCT FROM"]);
                self.between(Int, operator, Int, scope);
            }
            (Bool, 2) => {
                let operator = one(self.rng, &["AND", "OR"]);
                self.between(Bool, operator, Bool, scope);
            }
            (Bool, 3) => {
                self.raw("(");
                self.key("NOT");
                self.expression(Bool, scope);
                self.raw(")");
            }
            (Bool, 4) => {
                let operator = one(self.rng, &["LIKE", "ILIKE", "=", "!~~"]);
                self.between(Text, operator, Text, scope);
            }
            (Bool, 5) => {
                self.raw("(");
                self.expression(Int, scope);
                self.key("= ANY");
                self.raw("(");
                self.expression(Ints, scope);
                self.raw("))");
            }
            (Bool, 6) if self.depth < 4 => {
                self.raw("EXISTS (");
                self.select(scope, None);
                self.raw(")");
            }
            (Bool, _) => {
                self.raw("((");
                self.expression(Text, scope);
                self.raw(")");
                let test = one(self.rng, &["IS NULL", "IS NOT NULL"]);
                self.key(test);
                self.raw(")");
            }
            (Numeric, 0..=3) => {
                let operator = one(self.rng, &["+", "-", "*"]);
                self.between(Numeric, operator, Numeric, scope);
            }
            (Numeric, 4) => {
                self.raw("round(");
                self.expression(Numeric, scope);
                self.raw(", 2)");
            }
            (Numeric, _) => {
                self.raw("CAST(");
                self.expression(Int, scope);
                self.raw("AS numeric)");
            }
            (Json, 0..=1) => self.between(Json, "||", Json, scope),
            (Json, 2) => self.call("jsonb_build_object", &[Text, Int], scope),
            (Json, 3) => self.call("to_jsonb", &[Int], scope),
            (Json, 4) => {
                self.raw("(");
                self.expression(Json, scope);
                self.raw("-> 'a')");
            }
            (Json, _) => self.call("jsonb_build_array", &[Bool, Numeric], scope),
            (Ints, 0..=2) => {
                self.raw("ARRAY[");
                self.expression(Int, scope);
                self.raw(",");
                self.expression(Int, scope);
                self.raw("]");
            }
            (Ints, 3..=4) => self.between(Ints, "||", Int, scope),
            (Ints, _) => self.call("array_append", &[Ints, Int], scope),
        }
    }
}

fn name(of: Type) -> &'static str {
    match of {
        Type::Int => "bigint",
        Type::Text => "text",
        Type::Bool => "boolean",
        Type::Numeric => "numeric",
        Type::Json => "jsonb",
        Type::Ints => "bigint[]",
    }
}

const TEXTS: &[&str] =
    &["", "a", "o'clock", "; DROP TABLE accounts; --", "*/", "$$", "\u{1f4a5}", "\\", "x y", "%_"];

const VALUES: &[&str] = &[
    "NULL",
    "1",
    "0",
    "-1",
    "16384",
    "postgres",
    "eventfabric.events",
    "pg_authid",
    "{1,2}",
    "{}",
    "a",
    "/etc/passwd",
    "SELECT 1",
    "now",
    "2013-01-01",
    "t",
    "(1,2)",
    "<x/>",
    "select s from other.secrets",
    "role",
    "10.0.0.1",
    "1260",
    "r",
    "fn",
    "1 day",
    "[1,2)",
    "SELECT pg_sleep(1)",
];

const SPECIAL: &[&str] = &[
    "CURRENT_USER",
    "SESSION_USER",
    "CURRENT_CATALOG",
    "CURRENT_SCHEMA",
    "LOCALTIMESTAMP",
    "CURRENT_DATE",
    "pg_catalog.current_setting('role')",
    "pg_catalog.set_config('role', 'postgres', false)",
    "1::oid::regclass",
    "xmlparse(document '<x/>')",
    "xmlelement(name x, 1)",
    "row(1, 2)",
    "array(select 1)",
    "grouping()",
    "pg_catalog.nextval('other.secrets_n_seq')",
    "eventfabric.guard_events()",
];

const RELATIONS: &[&str] = &[
    "public.open_to_all",
    "other.secrets",
    "OTHER.SECRETS",
    "U&\"other\".\"secrets\"",
    "pg_temp.accounts",
    "eventfabric.events TABLESAMPLE system (50)",
    "xmltable('/x' PASSING '<x/>' COLUMNS a text)",
    "jsonb_to_recordset('[]') AS j(a regclass) CROSS JOIN accounts",
    "information_schema.tables",
    "ROWS FROM (generate_series(1,2), pg_catalog.pg_lock_status())",
];

const UTILITIES: &[&str] = &[
    "RESET ROLE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "SET ROLE postgres",
    "DO $$BEGIN END$$",
    "TABLE other.secrets",
    "TABLE accounts",
    "VALUES (1), (2)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "COPY accounts TO STDOUT",
    "EXPLAIN ANALYZE DELETE FROM lines",
    "LISTEN x",
    "NOTIFY x",
    "LOCK TABLE accounts",
    "TRUNCATE lines",
    "CREATE TABLE x (a int)",
    "SELECT 1 INTO x",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DISCARD ALL",
    "CALL x()",
    "END",
    "SELECT 1; END; SELECT 2",
    "BEGIN ATOMIC SELECT 1; END",
    "VACUUM",
    "ANALYZE accounts",
    "SHOW ALL",
    "ALTER TABLE accounts ADD x int",
    "DROP TABLE accounts",
    "GRANT ALL ON accounts TO PUBLIC",
    "REFRESH MATERIALIZED VIEW x",
    "SELECT * FROM accounts FOR UPDATE",
    "SELECT * FROM accounts FOR SHARE OF accounts NOWAIT",
    "CHECKPOINT",
];

const ENDS: &[&str] = &[
    ";",
    "; ; ",
    "; SELECT 1",
    "; END",
    "; DELETE FROM eventfabric.events",
    "FOR UPDATE",
    "FOR KEY SHARE SKIP LOCKED",
    "/*",
    "--",
    "'",
    "$$",
    ")",
    "END",
    "\\;",
    "\u{feff}",
    "FETCH FIRST ROW ONLY",
    "WINDOW w AS (PARTITION BY 1)",
];
