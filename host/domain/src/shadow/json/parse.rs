//! Bytes from anywhere, read as JSON in one pass.
//!
//! Strict RFC 8259. What is nested deeper than allowed is stepped over, not followed, so that no input can use up the
//! stack and the rest of the document, a client token for one, is still known. A file from a disk and a message from a
//! device take the same way.

use super::{Members, Scalar, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    NotUtf8,
    NotJson,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub value: Value,
    /// Something was nested too deeply; `null` stands in its place.
    pub too_deep: bool,
}

/// `depth` levels of arrays and objects are followed.
pub fn parse(bytes: &[u8], depth: usize) -> Result<Parsed, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
    let mut parser = Parser { text, at: 0, room: depth, too_deep: false };
    let value = parser.document().ok_or(Unreadable::NotJson)?;
    Ok(Parsed { value, too_deep: parser.too_deep })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Levels that may still be opened.
    room: usize,
    too_deep: bool,
}

impl Parser<'_> {
    fn document(&mut self) -> Option<Value> {
        let value = self.value()?;
        self.space();
        (self.at == self.text.len()).then_some(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn since(&self, start: usize) -> Option<&str> {
        self.text.get(start..self.at)
    }

    fn value(&mut self) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'{' | b'[' if self.room == 0 => self.step_over(),
            b'{' => self.within(Self::object),
            b'[' => self.within(Self::array),
            b'"' => self.string().map(Value::Scalar),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn within(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.at += 1;
        self.room -= 1;
        let value = read(self);
        self.room += 1;
        value
    }

    fn object(&mut self) -> Option<Value> {
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Some(Value::Object(Members::new(members)));
        }
        loop {
            self.space();
            let name = self.string()?;
            if !self.takes(b':') {
                return None;
            }
            members.push((name, self.value()?));
            if self.takes(b'}') {
                return Some(Value::Object(Members::new(members)));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn array(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        if self.takes(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.takes(b']') {
                return Some(Value::Array(items));
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    fn step_over(&mut self) -> Option<Value> {
        self.too_deep = true;
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                byte => {
                    self.at += 1;
                    match byte {
                        b'{' | b'[' => open += 1,
                        b'}' | b']' => open -= 1,
                        _ => {}
                    }
                }
            }
            if open == 0 {
                return Some(Value::Null);
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<Value> {
        if !self.text.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        Some(if word == "null" { Value::Null } else { Value::Scalar(Scalar::new(word.as_bytes())) })
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(Value::Scalar(Scalar::new(self.since(start)?.as_bytes())))
    }

    /// A string without escapes is taken as it stands; one with escapes is read and spelt anew.
    fn string(&mut self) -> Option<Scalar> {
        let start = self.at;
        if self.next()? != b'"' {
            return None;
        }
        self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Some(Scalar::new(self.since(start)?.as_bytes()));
        }
        let mut read = self.since(start + 1)?.to_owned();
        loop {
            match self.next()? {
                b'"' => return Some(Scalar::string(&read)),
                b'\\' => read.push(self.escaped()?),
                _ => return None,
            }
            let plain = self.at;
            self.plain()?;
            read.push_str(self.since(plain)?);
        }
    }

    /// To the next byte of a string that does not stand for itself.
    fn plain(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        Some(())
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                if (self.next()?, self.next()?) != (b'\\', b'u') {
                    return None;
                }
                let second = self.unit()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return None;
                }
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> Result<String, Unreadable> {
        let parsed = parse(text, 4)?;
        let mut out = Vec::new();
        parsed.value.write(&mut out);
        assert_eq!(out.len(), parsed.value.len(), "the length that is counted is the length that is written");
        assert_eq!(parse(&out, 4).unwrap().value, parsed.value, "what is written reads back");
        Ok(String::from_utf8(out).unwrap() + if parsed.too_deep { " too deep" } else { "" })
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(written(text.as_bytes()).as_deref(), Ok(expected), "{text}");
    }

    /// One spelling: no space, names in order, the last of two, the shortest escapes, numbers as they came.
    #[test]
    fn json_has_one_spelling() {
        check(" { \"b\" : 1 , \"a\" : [ ] }\n", r#"{"a":[],"b":1}"#);
        check(r#"{"a":1,"b":2,"a":{"c":3}}"#, r#"{"a":{"c":3},"b":2}"#);
        check(r#"{"z":1,"y":1,"z":2,"x":1,"z":3}"#, r#"{"x":1,"y":1,"z":3}"#);
        check(r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#);
        check(r#""\u0041\/\"\\\b\f\n\r\t\u0001\u00e4\ud83d\ude00""#, "\"A/\\\"\\\\\\b\\f\\n\\r\\t\\u0001ä😀\"");
        check("\"ä\\n€\"", "\"ä\\n€\"");
        for number in ["0", "-0", "1.0", "-12.50e+03", "1E9", "123456789012345678901234567890", "0.10"] {
            check(number, number);
        }
        check("[true,false,null]", "[true,false,null]");
    }

    /// What RFC 8259 does not allow is refused, and nothing of it is guessed.
    #[test]
    fn what_is_not_json_is_refused() {
        let cases = [
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
            "tru",
            "True",
            "nul",
            "NaN",
            "Infinity",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "1 2",
            "{} {}",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\ud800x\"",
            "\"a\nb\"",
            "\"\\t\u{1}\"",
            "\u{feff}{}",
            "// x\n1",
            "{}x",
            "[[[[[1}]]]x",
            "[[[[[\"]]]]]",
        ];
        for text in cases {
            assert_eq!(written(text.as_bytes()), Err(Unreadable::NotJson), "{text:?}");
        }
        assert_eq!(written(b"\"\xff\""), Err(Unreadable::NotUtf8));
    }

    /// Past its depth the parser goes on without following, however deep it gets.
    #[test]
    fn what_is_too_deep_is_stepped_over() {
        check("[[[[1]]]]", "[[[[1]]]]");
        check("[[[[[1]]]],2]", "[[[[null]]],2] too deep");
        check(
            r#"{"a":{"b":{"c":{"d":{"e":"}]","f":[1]}}}},"t":"x"}"#,
            r#"{"a":{"b":{"c":{"d":null}}},"t":"x"} too deep"#,
        );
        let deep = "[".repeat(1_000_000);
        assert_eq!(written(deep.as_bytes()), Err(Unreadable::NotJson));
        let closed = format!("{deep}{}", "]".repeat(1_000_000));
        check(&closed, "[[[[null]]]] too deep");
    }
}
