//! The checksum that every value carries behind it: CRC32C over the key's length, the key and the value.
//!
//! Disks and memory of cheap gateways flip bits, and neither engine would notice one inside a value. The key is under
//! the seal, so that a row which turns up under another key is noticed, too. It guards against accidents, not
//! against an attacker, who would write the seal anew.

/// Bytes that a seal takes.
pub(crate) const SEAL: usize = 4;

pub(crate) fn of(key: &[u8], value: &[u8]) -> [u8; SEAL] {
    let length = crc32c::crc32c(&(key.len() as u64).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(length, key), value).to_le_bytes()
}

/// The value, or `None` where it is not what was put under this key.
pub(crate) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, seal) = sealed.split_last_chunk::<SEAL>()?;
    (*seal == of(key, value)).then_some(value)
}

/// The value of what was sealed a moment ago.
pub(crate) fn strip(sealed: &[u8]) -> &[u8] {
    sealed.split_last_chunk::<SEAL>().map_or(&[], |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
        [value, &of(key, value)].concat()
    }

    #[test]
    fn the_bytes_on_disk_stay_what_they_are() {
        assert_eq!(sealed(b"key", b"value"), b"value\xd7\xc1\xa0\x35");
        assert_eq!(sealed(b"", b""), b"\x8a\xb2\x28\x8c");
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is() {
        let row = sealed(b"key", b"some value");
        assert_eq!(open(b"key", &row), Some(&b"some value"[..]));
        for bit in 0..row.len() * 8 {
            let mut row = row.clone();
            row[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(b"key", &row), None, "{bit}");
        }
        for length in 0..row.len() {
            assert_eq!(open(b"key", &row[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed_even_where_the_bytes_are_the_same() {
        assert_eq!(open(b"kez", &sealed(b"key", b"value")), None);
        assert_eq!(open(b"ke", &sealed(b"key", b"value")), None);
        assert_eq!(open(b"keyv", &sealed(b"key", b"value")[1..]), None);
    }
}
