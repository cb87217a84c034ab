//! Cuts the text of a migration into statements, and reads their first words.
//!
//! This is no judge: the server makes sure that a piece is one command (the extended protocol takes
//! no more), and the role and the catalogue check hold whatever gets through. It only has to be
//! right about ordinary text, and to fail on the rest.

/// A word or sign of a statement, comments and white space left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lexeme {
    /// An unquoted word, in upper case.
    Word(String),
    /// A quoted name or a string.
    Quoted,
    /// Any other sign.
    Sign(char),
}

/// One statement of a migration, without the semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// From the first word to the last, comments between them included.
    pub text: &'a str,
    /// Its words and signs.
    pub lexemes: Vec<Lexeme>,
}

/// Text that ends inside a string, a comment or a bracket.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no end")]
pub(super) struct Unfinished(&'static str);

/// Cuts at the semicolons that stand outside strings, quoted names and comments. Empty pieces are
/// left out.
pub(super) fn split(sql: &str) -> Result<Vec<Piece<'_>>, Unfinished> {
    let mut pieces = Vec::new();
    let mut lexemes = Vec::new();
    let mut span: Option<(usize, usize)> = None;
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql[at..];
        let byte = bytes[at];
        let (length, lexeme) = if byte.is_ascii_whitespace() {
            (1, None)
        } else if rest.starts_with("--") {
            (rest.find(['\n', '\r']).unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (comment(rest)?, None)
        } else if byte == b';' {
            if let Some((start, end)) = span.take() {
                pieces
                    .push(Piece { text: &sql[start..end], lexemes: std::mem::take(&mut lexemes) });
            }
            (1, None)
        } else if byte == b'\'' {
            (quoted(rest, b'\'', false)?, Some(Lexeme::Quoted))
        } else if byte == b'"' {
            (quoted(rest, b'"', false)?, Some(Lexeme::Quoted))
        } else if byte == b'$' && !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            match dollar(rest)? {
                Some(length) => (length, Some(Lexeme::Quoted)),
                None => (1, Some(Lexeme::Sign('$'))),
            }
        } else if is_word(byte) {
            let length = rest.bytes().take_while(|b| is_word(*b) || *b == b'$').count();
            let word = &rest[..length];
            // E'…' takes backslashes; the other prefixes (B, X, N, U&) do not.
            if word.eq_ignore_ascii_case("e") && rest[length..].starts_with('\'') {
                (length + quoted(&rest[length..], b'\'', true)?, Some(Lexeme::Quoted))
            } else {
                (length, Some(Lexeme::Word(word.to_ascii_uppercase())))
            }
        } else {
            (1, Some(Lexeme::Sign(char::from(byte))))
        };
        if let Some(lexeme) = lexeme {
            span = Some((span.map_or(at, |(start, _)| start), at + length));
            lexemes.push(lexeme);
        }
        at += length;
    }
    if let Some((start, end)) = span {
        pieces.push(Piece { text: &sql[start..end], lexemes });
    }
    Ok(pieces)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Block comments nest.
fn comment(text: &str) -> Result<usize, Unfinished> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => at += 1,
        }
    }
    Err(Unfinished("a comment"))
}

fn quoted(text: &str, quote: u8, backslashes: bool) -> Result<usize, Unfinished> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslashes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(Unfinished(if quote == b'"' { "a quoted name" } else { "a string" }))
}

/// `$tag$ … $tag$`; none where the dollar begins no such string.
fn dollar(text: &str) -> Result<Option<usize>, Unfinished> {
    let tag = 1 + text[1..].bytes().take_while(|b| is_word(*b)).count();
    if text.as_bytes().get(tag) != Some(&b'$') {
        return Ok(None);
    }
    let tag = &text[..=tag];
    match text[tag.len()..].find(tag) {
        Some(end) => Ok(Some(tag.len() + end + tag.len())),
        None => Err(Unfinished("a dollar-quoted string")),
    }
}

/// Why a statement of a migration is refused by its first words; none where it may be tried.
pub(super) fn refused(piece: &Piece<'_>) -> Option<String> {
    let words: Vec<&str> = piece
        .lexemes
        .iter()
        .take(4)
        .map_while(|l| if let Lexeme::Word(w) = l { Some(w.as_str()) } else { None })
        .collect();
    let begins = |start: &[&str]| words.starts_with(start);
    const ALLOWED: &[&[&str]] = &[
        &["CREATE", "TABLE"],
        &["ALTER", "TABLE"],
        &["DROP", "TABLE"],
        &["CREATE", "INDEX"],
        &["CREATE", "UNIQUE", "INDEX"],
        &["ALTER", "INDEX"],
        &["DROP", "INDEX"],
        &["CREATE", "VIEW"],
        &["CREATE", "OR", "REPLACE", "VIEW"],
        &["CREATE", "RECURSIVE", "VIEW"],
        &["ALTER", "VIEW"],
        &["DROP", "VIEW"],
        &["CREATE", "SEQUENCE"],
        &["ALTER", "SEQUENCE"],
        &["DROP", "SEQUENCE"],
        &["CREATE", "TYPE"],
        &["ALTER", "TYPE"],
        &["DROP", "TYPE"],
        &["COMMENT", "ON"],
    ];
    if !ALLOWED.iter().any(|start| begins(start)) {
        return Some(
            "a migration may CREATE, ALTER and DROP tables, indexes, views, sequences and enum \
             types, and COMMENT; rows are written when events are handled"
                .to_owned(),
        );
    }
    if begins(&["CREATE", "TABLE"]) && has_outside_brackets(piece, "AS") {
        return Some(
            "CREATE TABLE … AS runs a query; create the table with its columns".to_owned(),
        );
    }
    if let Some(reason) = runs_at_once(piece) {
        return Some(reason);
    }
    let is = |word: &str| piece.lexemes.iter().any(|l| *l == Lexeme::Word(word.to_owned()));
    if begins(&["CREATE", "TYPE"]) && !(has_outside_brackets(piece, "AS") && is("ENUM")) {
        return Some("CREATE TYPE is for enums only: CREATE TYPE name AS ENUM (…)".to_owned());
    }
    None
}

/// Expressions that the server evaluates while the statement runs, before anybody can judge them: the
/// bounds of a partition, USING of a changed type, a default for rows that are there. They may hold
/// values and casts, and call nothing (but `nextval`).
fn runs_at_once(piece: &Piece<'_>) -> Option<String> {
    let word = |at: usize| match piece.lexemes.get(at) {
        Some(Lexeme::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    let alters = word(0) == Some("ALTER");
    let (mut depth, mut begun) = (0i32, None);
    for (at, lexeme) in piece.lexemes.iter().enumerate() {
        match lexeme {
            Lexeme::Word(w) if w == "VALUES" && word(at.wrapping_sub(1)) == Some("FOR") => {
                begun = Some("the bounds of a partition");
            }
            Lexeme::Word(w) if alters && depth == 0 && w == "USING" => begun = Some("USING"),
            Lexeme::Word(w) if alters && depth == 0 && w == "DEFAULT" => begun = Some("DEFAULT"),
            Lexeme::Sign(',') if depth == 0 => begun = None,
            Lexeme::Sign('(') => {
                depth += 1;
                let Some(place) = begun else { continue };
                let before = at.checked_sub(1).map(|at| &piece.lexemes[at]);
                let calls = match before {
                    Some(Lexeme::Quoted) => true,
                    Some(Lexeme::Word(w)) => !matches!(
                        w.as_str(),
                        "IN" | "FROM" | "TO" | "WITH" | "USING" | "DEFAULT" | "NEXTVAL"
                    ),
                    _ => false,
                };
                if calls {
                    return Some(format!(
                        "{place} is evaluated at once, so it may hold values and casts, and call no \
                         function"
                    ));
                }
            }
            Lexeme::Sign(')') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn has_outside_brackets(piece: &Piece<'_>, word: &str) -> bool {
    let mut depth = 0i32;
    piece.lexemes.iter().any(|lexeme| {
        match lexeme {
            Lexeme::Sign('(') => depth += 1,
            Lexeme::Sign(')') => depth -= 1,
            Lexeme::Word(found) if depth == 0 => return found == word,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).unwrap().into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn cuts_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(texts("a; b ;; -- c;\n d"), ["a", "b", "d"]);
        assert_eq!(texts("'a;''b'; \"c;\"\"d\""), ["'a;''b'", "\"c;\"\"d\""]);
        assert_eq!(texts(r"E'a\';b'; 'c\'; d"), [r"E'a\';b'", r"'c\'", "d"]);
        assert_eq!(texts("$$a;b$$; $x$ ; $$ ; $x$; $1"), ["$$a;b$$", "$x$ ; $$ ; $x$", "$1"]);
        assert_eq!(texts("/* a; /* b; */ c; */ d /* e */ f"), ["d /* e */ f"]);
        assert_eq!(texts("é;ü$a;b"), ["é", "ü$a", "b"]);
        assert_eq!(texts(" ;-- nothing"), Vec::<&str>::new());
    }

    #[test]
    fn text_without_an_end_is_an_error() {
        for sql in ["'a", "\"a", "/* /* */", "$$a", "E'\\'"] {
            assert!(split(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn only_the_making_of_tables_is_let_through() {
        let judge = |sql: &str| refused(&split(sql).unwrap()[0]);
        for sql in [
            "create table t (a int generated always as (1) stored)",
            "-- why\nCREATE /* x */ UNIQUE INDEX i ON t (a)",
            "CREATE TYPE mood AS ENUM ('a')",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "COMMENT ON TABLE t IS 'AS'",
            "CREATE TABLE p PARTITION OF t FOR VALUES FROM (1) TO (10)",
            "CREATE TABLE p PARTITION OF t FOR VALUES WITH (MODULUS 4, REMAINDER 0)",
            "ALTER TABLE t ALTER a TYPE numeric(10, 2) USING (a::numeric)",
            "ALTER TABLE t ADD a int DEFAULT 0, ADD b numeric(10, 2)",
            "ALTER TABLE t ADD a bigint DEFAULT nextval('s')",
        ] {
            assert_eq!(judge(sql), None, "{sql}");
        }
        for sql in [
            "CREATE FUNCTION f()",
            "CREATE TEMP TABLE t ()",
            "CREATE TABLE t AS SELECT 1",
            "CREATE TABLE t (a) WITH (fillfactor = 70) AS SELECT 1",
            "CREATE TYPE t AS (a int)",
            "CREATE TYPE t",
            "\"CREATE\" TABLE t ()",
            "GRANT ALL ON t TO PUBLIC",
            "DO $$ $$",
            "INSERT INTO t VALUES (1)",
        ] {
            assert!(judge(sql).is_some(), "{sql}");
        }
    }
}
