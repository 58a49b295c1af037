//! Models that are made here, byte by byte, so that each answers otherwise: `x` and `y` of one f32, and `y` is `x` and a
//! number more.

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn field(field: u64, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [varint(field << 3 | 2), varint(content.len() as u64), content].concat()
}

/// An ONNX file: `y` is `x + more`.
pub fn adds(more: f32) -> Vec<u8> {
    let one = field(1, &[&number(1, 1)]);
    let float = field(1, &[&number(1, 1), &field(2, &[&one])]);
    let value = |name: &[u8]| [field(1, &[name]), field(2, &[&float])].concat();
    let node = field(1, &[&field(1, &[b"x"]), &field(1, &[b"more"]), &field(2, &[b"y"]), &field(4, &[b"Add"])]);
    let constant = field(5, &[&number(1, 1), &number(2, 1), &field(8, &[b"more"]), &field(9, &[&more.to_le_bytes()])]);
    let graph = [node, field(2, &[b"adds"]), constant, field(11, &[&value(b"x")]), field(12, &[&value(b"y")])].concat();
    [number(1, 8), field(7, &[&graph]), field(8, &[&number(2, 17)])].concat()
}
