//! Names that come from outside, as parts of subjects and as headers.

/// The same with all but these bytes as `%` and two hexadecimal digits, so that two names never become one.
pub(super) fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) && byte != b'%' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// What can stand in a part of a subject: no separator (`.`), no wildcard (`*`, `>`), nothing that is NATS's own
/// (`$`), no blank.
pub(super) fn token(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What can stand in a header: no end of a line, nor what somebody would cut off.
pub(super) fn header(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        assert_eq!(token("Account.Opened"), "Account%2EOpened");
        assert_eq!(token("a*>$ \r\n\té"), "a%2A%3E%24%20%0D%0A%09%C3%A9");
        assert_eq!(header("a.b\r\nNats-Msg-Id: 1"), "a.b%0D%0ANats-Msg-Id:%201");
    }

    #[test]
    fn two_names_never_become_one() {
        assert_eq!(token("a%2Eb"), "a%252Eb");
        assert_ne!(token("a.b"), token("a%2Eb"));
        assert_ne!(header("a b"), header("a%20b"));
    }
}
