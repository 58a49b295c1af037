//! JSON as shadows need it: numbers keep their text, members have one order, and two values are compared by value.
//!
//! A scalar *is* its JSON text, in the one spelling that [`Scalar`] allows: so a huge integer loses nothing, writing
//! is copying, and the length of a document is known without writing it. Members are sorted by name and a name stands
//! once (of two the last wins), so that merge and difference are one walk over both sides. Nothing here may recurse
//! deeper than the parser was told to.

mod number;
mod parse;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

pub(super) use parse::{Parsed, Unreadable, parse};

/// Any JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Scalar(Scalar),
    Array(Vec<Value>),
    Object(Members<Value>),
}

/// The text of a string (with its quotes, escaped only where it must be), a number (as it came), `true` or `false`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scalar(SmallVec<[u8; SHORT]>);

/// Names and scalars of so many bytes, which most are, lie where they are used.
const SHORT: usize = 24;

/// What stands between braces: sorted by name, each name once. Who has a copy shares it: a document and the one that
/// came of it differ in little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members<V>(Arc<Vec<(Scalar, V)>>);

impl Scalar {
    fn new(text: &[u8]) -> Scalar {
        Scalar(SmallVec::from_slice(text))
    }

    pub fn string(text: &str) -> Scalar {
        Scalar::new(quoted(text).as_bytes())
    }

    /// It was text when it was read.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What a string says, where it needs no escapes; else its text between the quotes.
    pub fn plain(&self) -> &str {
        let text = self.text();
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
    }

    pub fn is_string(&self) -> bool {
        self.0.first() == Some(&b'"')
    }

    /// How many bytes the string says, whatever it takes to spell them.
    pub fn string_len(&self) -> usize {
        let mut bytes = self.plain().bytes();
        let mut len = 0;
        while let Some(byte) = bytes.next() {
            if byte == b'\\' && bytes.next() == Some(b'u') {
                bytes.nth("0000".len() - 1);
            }
            len += 1;
        }
        len
    }

    fn is_number(&self) -> bool {
        matches!(self.0.first(), Some(b'-' | b'0'..=b'9'))
    }

    pub fn equals(&self, other: &Scalar) -> bool {
        self == other || (self.is_number() && other.is_number() && number::equal(self.text(), other.text()))
    }
}

impl Value {
    /// Equal as JSON values: `1` is `1.0`, and the order of members says nothing.
    pub fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Scalar(one), Value::Scalar(two)) => one.equals(two),
            (Value::Array(one), Value::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two.iter()).all(|(one, two)| one.equals(two))
            }
            (Value::Object(one), Value::Object(two)) => {
                one.len() == two.len()
                    && one.iter().zip(two.iter()).all(|((a, one), (b, two))| a == b && one.equals(two))
            }
            _ => false,
        }
    }

    pub fn holds_null(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Scalar(_) => false,
            Value::Array(items) => items.iter().any(Value::holds_null),
            Value::Object(members) => members.iter().any(|(_, value)| value.holds_null()),
        }
    }

    /// How many bytes [`Value::write`] writes.
    pub fn len(&self) -> usize {
        match self {
            Value::Null => "null".len(),
            Value::Scalar(scalar) => scalar.0.len(),
            Value::Array(items) => list_len(items.iter().map(Value::len)),
            Value::Object(members) => members.len_with(Value::len),
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Scalar(scalar) => out.extend_from_slice(&scalar.0),
            Value::Array(items) => write_list(out, items.iter(), |item, out| item.write(out)),
            Value::Object(members) => write_members(out, members.iter(), |value, out| value.write(out)),
        }
    }
}

impl<V: Clone> Members<V> {
    pub fn new(mut members: Vec<(Scalar, V)>) -> Self {
        if !members.is_sorted_by(|(one, _), (two, _)| one < two) {
            members.sort_by(|(one, _), (two, _)| one.cmp(two));
            members.dedup_by(|later, kept| {
                let again = later.0 == kept.0;
                if again {
                    std::mem::swap(later, kept);
                }
                again
            });
        }
        Members(Arc::new(members))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Scalar, &V)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn get(&self, name: &Scalar) -> Option<&V> {
        self.0.get(self.place(name)?).map(|(_, value)| value)
    }

    pub fn named(&self, name: &str) -> Option<&V> {
        self.get(&Scalar::string(name))
    }

    pub fn take(&mut self, name: &str) -> Option<V> {
        let at = self.place(&Scalar::string(name))?;
        Some(Arc::make_mut(&mut self.0).remove(at).1)
    }

    fn place(&self, name: &Scalar) -> Option<usize> {
        self.0.binary_search_by(|(found, _)| found.cmp(name)).ok()
    }

    /// Every value changed, if every one can be.
    pub fn try_map<W>(self, change: impl Fn(V) -> Option<W>) -> Option<Members<W>> {
        let members = Arc::unwrap_or_clone(self.0).into_iter();
        let changed: Option<Vec<_>> = members.map(|(name, value)| Some((name, change(value)?))).collect();
        changed.map(|members| Members(Arc::new(members)))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len_with(&self, len: impl Fn(&V) -> usize) -> usize {
        list_len(self.iter().map(|(name, value)| name.0.len() + 1 + len(value)))
    }
}

impl<V> Default for Members<V> {
    fn default() -> Self {
        Members(Arc::default())
    }
}

/// Byte for byte at once, which the derived one is not.
impl Clone for Scalar {
    fn clone(&self) -> Self {
        Scalar::new(&self.0)
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Brackets, and a comma between every two.
fn list_len(items: impl Iterator<Item = usize>) -> usize {
    let (count, bytes) = items.fold((0, 0), |(count, bytes), len| (count + 1, bytes + len));
    2 + bytes + usize::max(count, 1) - 1
}

pub(super) fn write_list<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

pub(super) fn write_members<'a, V>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'a Scalar, V)>,
    mut write: impl FnMut(V, &mut Vec<u8>),
) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&name.0);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// An object that is written member by member.
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    any: bool,
}

impl<'a> Fields<'a> {
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Fields { out, any: false }
    }

    /// Where the value of the next member is to be written; its name needs no escapes.
    pub fn next(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.any { b",\"" } else { b"\"" });
        self.any = true;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn number(&mut self, name: &str, number: u64) {
        write_number(self.next(name), number);
    }

    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// The metadata of leaves. Most have the same time, and it is spelt once.
#[derive(Default)]
pub(super) struct Times {
    last: Option<(u64, Vec<u8>)>,
}

impl Times {
    pub fn write(&mut self, at: u64, out: &mut Vec<u8>) {
        match &self.last {
            Some((last, text)) if *last == at => out.extend_from_slice(text),
            _ => {
                let start = out.len();
                let mut fields = Fields::open(out);
                fields.number("timestamp", at);
                fields.close();
                self.last = out.get(start..).map(|text| (at, text.to_vec()));
            }
        }
    }
}

pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// A text as a JSON string, with nothing escaped that need not be.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
