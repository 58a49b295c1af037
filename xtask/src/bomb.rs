//! Makes `bomb.wasm`: a harmless component, and behind it a core module of a few kilobytes that keeps a compiler busy for
//! ever. Nothing instantiates that module; a compiler does not know it.
//!
//! Its functions nest loops and change every local variable in the innermost one. Each loop then needs a value of its own
//! for each variable: a few bytes of source make `DEPTH` × `LOCALS` of them, each alive throughout. Written byte by byte
//! here, so that no large file stands in git and no compiler of ours has to make it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const FUNCTIONS: usize = 64;
const DEPTH: usize = 300;
const LOCALS: usize = 1_000;

/// Writes the bomb, unless it is there and younger than its seed.
pub fn make(seed: &Path, bomb: &Path) -> Result<()> {
    let made = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    if let (Ok(seed_made), Ok(bomb_made)) = (made(seed), made(bomb))
        && bomb_made > seed_made
    {
        return Ok(());
    }
    let mut component = fs::read(seed).with_context(|| format!("cannot read {}", seed.display()))?;
    // A component may hold any number of core modules; section 1 is one.
    section(&mut component, 1, &module());
    fs::write(bomb, component).with_context(|| format!("cannot write {}", bomb.display()))
}

fn module() -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type: (func (param i64) (result i64)).
    section(&mut module, 1, &[1, 0x60, 1, 0x7e, 1, 0x7e]);
    let mut functions = Vec::new();
    number(&mut functions, FUNCTIONS);
    functions.resize(functions.len() + FUNCTIONS, 0);
    section(&mut module, 3, &functions);
    let body = body();
    let mut code = Vec::new();
    number(&mut code, FUNCTIONS);
    for _ in 0..FUNCTIONS {
        number(&mut code, body.len());
        code.extend_from_slice(&body);
    }
    section(&mut module, 10, &code);
    module
}

fn body() -> Vec<u8> {
    const LOOP: [u8; 2] = [0x03, 0x40];
    const END: u8 = 0x0b;
    const MULTIPLY: u8 = 0x7e;
    const WRAP: u8 = 0xa7;
    const BRANCH_IF: u8 = 0x0d;
    // One run of locals of type i64, behind the parameter.
    let mut body = vec![1];
    number(&mut body, LOCALS);
    body.push(0x7e);
    for _ in 0..DEPTH {
        body.extend_from_slice(&LOOP);
    }
    for local in 0..LOCALS {
        get(&mut body, local);
        get(&mut body, local + 1);
        body.push(MULTIPLY);
        set(&mut body, local + 1);
    }
    for _ in 0..DEPTH {
        get(&mut body, LOCALS);
        body.extend_from_slice(&[WRAP, BRANCH_IF, 0, END]);
    }
    get(&mut body, LOCALS);
    body.push(END);
    body
}

fn get(body: &mut Vec<u8>, local: usize) {
    body.push(0x20);
    number(body, local);
}

fn set(body: &mut Vec<u8>, local: usize) {
    body.push(0x21);
    number(body, local);
}

fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    number(out, content.len());
    out.extend_from_slice(content);
}

/// A number as wasm writes it: seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_wasm_writes_them() {
        for (value, expected) in
            [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (624_485, vec![0xe5, 0x8e, 0x26])]
        {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_bomb_is_its_seed_and_one_more_section_and_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (seed, bomb) = (folder.path().join("seed"), folder.path().join("bomb"));
        fs::write(&seed, b"seed").unwrap();
        make(&seed, &bomb).unwrap();
        let made = fs::read(&bomb).unwrap();
        assert_eq!(&made[..5], b"seed\x01");
        assert!(made.len() < 1 << 20, "{} bytes are no few", made.len());
        fs::write(&bomb, b"untouched").unwrap();
        make(&seed, &bomb).unwrap();
        assert_eq!(fs::read(&bomb).unwrap(), b"untouched");
    }
}
