//! Formatting of values in messages.
//!
//! Unlike `Debug`, whose formatting code is a twentieth of what a browser downloads; the npm package
//! contains none of it.

use std::{
    fmt::{self, Display, Formatter, Write},
    time::Duration,
};

/// A quoted text, with quotes, backslashes and invisible characters escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        quote(f, self.0, '"')
    }
}

/// A quoted character, escaped likewise.
pub(crate) struct QuotedChar(pub(crate) char);

impl Display for QuotedChar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        quote(f, self.0.encode_utf8(&mut [0; 4]), '\'')
    }
}

fn quote(f: &mut Formatter<'_>, text: &str, mark: char) -> fmt::Result {
    f.write_char(mark)?;
    for c in text.chars() {
        if c == mark || c == '\\' {
            f.write_char('\\')?;
            f.write_char(c)?;
        } else if c == '\0' {
            f.write_str("\\0")?;
        } else if is_hidden(c) {
            Display::fmt(&c.escape_default(), f)?;
        } else {
            f.write_char(c)?;
        }
    }
    f.write_char(mark)
}

/// Returns whether a character is a control, has no width or changes the direction of the text around
/// it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A duration as a whole number of the largest possible unit.
pub(crate) struct Lasting(pub(crate) Duration);

impl Display for Lasting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let (each, unit): (u32, _) = match nanos {
            0 => (1_000_000_000, "s"),
            _ if nanos.is_multiple_of(1_000_000) => (1_000_000, "ms"),
            _ if nanos.is_multiple_of(1_000) => (1_000, "µs"),
            _ => (1, "ns"),
        };
        let whole = self
            .0
            .as_secs()
            .saturating_mul((1_000_000_000 / each).into());
        Display::fmt(&whole.saturating_add((nanos / each).into()), f)?;
        f.write_str(unit)
    }
}

/// Decodes `%40` and the like.
#[cfg(any(feature = "native", feature = "web"))]
#[cfg_attr(not(feature = "web"), allow(dead_code))] // in a browser
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Returns the address without the text between `//` and `@`: errors end up in logs.
pub(crate) fn without_secrets(url: &str) -> String {
    let slashes = |server: &str| server.as_bytes().windows(2).position(|two| two == b"//");
    let server = |server: &str| match (slashes(server), server.rfind('@')) {
        (Some(start), Some(end)) if start + 2 <= end => {
            format!("{}…{}", &server[..start + 2], &server[end..])
        }
        (_, Some(end)) => format!("…{}", &server[end..]),
        _ => server.to_owned(),
    };
    url.split(',').map(server).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_show_their_content() {
        assert_eq!(Quoted("a b").to_string(), r#""a b""#);
        assert_eq!(Quoted(r#"say "a\b""#).to_string(), r#""say \"a\\b\"""#);
        assert_eq!(
            Quoted("é\n\0\u{202e}日").to_string(),
            r#""é\n\0\u{202e}日""#
        );
        assert_eq!(QuotedChar('"').to_string(), r#"'"'"#);
        assert_eq!(QuotedChar('\'').to_string(), r"'\''");
        assert_eq!(QuotedChar(' ').to_string(), "' '");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let text = |duration| Lasting(duration).to_string();
        assert_eq!(text(Duration::ZERO), "0s");
        assert_eq!(text(Duration::from_secs(90)), "90s");
        assert_eq!(text(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(text(Duration::from_micros(2_000_001)), "2000001µs");
        assert_eq!(text(Duration::from_nanos(7)), "7ns");
        assert_eq!(text(Duration::from_secs(u64::MAX)), "18446744073709551615s");
    }

    #[test]
    fn addresses_in_errors_contain_no_password() {
        for (url, shown) in [
            ("nats://u:p@h:4222,tls://u:p@i", "nats://…@h:4222,tls://…@i"),
            ("u:p@h", "…@h"),
            ("u:p@h//x", "…@h//x"),
            ("nats://@h", "nats://…@h"),
            ("nats://h", "nats://h"),
            ("nats://u:a@b@h", "nats://…@h"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
