//! Numbers and texts as bytes: numbers in groups of seven bits, the lowest first; texts behind their length.
//!
//! A reader never trusts a length: what does not add up is `None`, and the row counts as damaged.

/// Appends to a row.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Eight bytes, the highest first.
    pub fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_be_bytes());
    }
}

/// Reads a row from its beginning.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits > u64::MAX >> shift {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_and_a_cut_or_oversized_one_is_nothing() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut row = Vec::new();
            Writer(&mut row).number(number);
            assert_eq!(Reader(&row).number(), Some(number));
            row.pop();
            assert_eq!(Reader(&row).number(), None, "cut");
        }
        assert_eq!(Reader(&[0xff; 9]).number(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number(), None, "65 bits");
        assert_eq!(Reader(&[0xff; 11]).number(), None);
    }

    #[test]
    fn a_length_beyond_the_row_is_nothing() {
        assert_eq!(Reader(&[3, b'a', b'b']).bytes(), None);
        assert_eq!(Reader(&[2, b'a', b'b']).text(), Some("ab"));
        assert_eq!(Reader(&[2, 0xc3, 0x28]).text(), None, "no UTF-8");
        assert_eq!(Reader(&[0; 7]).word(), None);
    }
}
