//! What a component says about itself: its imports, its exports, who made it, how much memory it starts with.
//!
//! It reads section headers only and must never compile, instantiate or trust: a hostile file costs it time in
//! proportion to its size, memory up to the limits below, and no panic. What it reports serves to explain and
//! to refuse early. What a component can really reach is decided by the linker, from the compiled component.

use std::collections::BTreeSet;
use std::fmt;

use wasmparser::{Chunk, ComponentExternalKind, Encoding, KnownCustom, Parser, Payload, ProducersSectionReader};

/// Imports or exports of one component.
const NAMES: usize = 4096;
/// Length of one of their names, and of a producer's name and version.
const NAME_BYTES: usize = 1024;
/// Producers recorded in one file; more are left out.
const PRODUCERS: usize = 256;
/// Components within components.
const DEPTH: usize = 32;

/// A component as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    pub imports: Vec<Extern>,
    pub exports: Vec<Extern>,
    /// Tools and languages, of the component and everything embedded in it; sorted, each once.
    pub producers: Vec<Producer>,
    pub bytes: u64,
    pub core_modules: u32,
    /// Linear memory that all its core modules start with, in bytes.
    pub memory_minimum: u64,
}

/// One import or export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    /// As written: `wasi:io/streams@0.2.3`, or a plain name.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An interface.
    Instance,
    Function,
    Type,
    /// A core module, a component or a value: nothing that edgewit can provide or call.
    Other,
}

/// The parts of an interface's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// `wasi:io`
    pub package: &'a str,
    /// `streams`
    pub name: &'a str,
    /// `0.2.3`
    pub version: Option<&'a str>,
}

/// An entry of a producers section.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    pub name: String,
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    #[error("the file is empty")]
    Empty,
    #[error("not WebAssembly: it does not begin with `\\0asm`{hint}")]
    NotWasm { hint: &'static str },
    #[error(
        "a core module, not a component; build it for the target wasm32-wasip2, or make a component of it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    #[error("damaged at byte {offset}: {reason}; build or copy it again")]
    Malformed { offset: usize, reason: String },
    #[error("has more than {limit} {what}")]
    TooMuch { what: &'static str, limit: usize },
}

impl Surface {
    pub fn parse(wasm: &[u8]) -> Result<Surface, InspectError> {
        if wasm.is_empty() {
            return Err(InspectError::Empty);
        }
        if !wasm.starts_with(b"\0asm") {
            return Err(InspectError::NotWasm { hint: hint(wasm) });
        }
        let mut reader = Reader::default();
        reader.read(wasm)?;
        Ok(Surface {
            imports: reader.imports,
            exports: reader.exports,
            producers: reader.producers.into_iter().collect(),
            bytes: wasm.len() as u64,
            core_modules: reader.core_modules,
            memory_minimum: reader.memory_minimum,
        })
    }

    /// Whether it imports this interface (`wasi:http/outgoing-handler`) in any version.
    pub fn imports(&self, interface: &str) -> bool {
        self.imports.iter().any(|item| item.is(interface))
    }

    /// Whether it exports this interface in any version.
    pub fn exports(&self, interface: &str) -> bool {
        self.exports.iter().any(|item| item.is(interface))
    }

    /// The languages it was written in, as its producers name them.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.producers.iter().filter(|producer| producer.field == "language").map(|producer| producer.name.as_str())
    }
}

impl Extern {
    /// Its parts, where it names an interface.
    pub fn interface(&self) -> Option<Interface<'_>> {
        let (path, version) = match self.name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (self.name.as_str(), None),
        };
        let (package, name) = path.split_once('/')?;
        Some(Interface { package, name, version })
    }

    fn is(&self, interface: &str) -> bool {
        self.name.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    }
}

impl fmt::Display for Extern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn hint(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if bytes.starts_with(b"\x7fELF") {
        "; native code is never accepted, only the .wasm it was made from"
    } else if text.starts_with(b"(component") || text.starts_with(b"(module") {
        "; this is the text format, which `wasm-tools parse` makes binary"
    } else {
        ""
    }
}

#[derive(Default)]
struct Reader {
    imports: Vec<Extern>,
    exports: Vec<Extern>,
    producers: BTreeSet<Producer>,
    core_modules: u32,
    memory_minimum: u64,
}

impl Reader {
    fn read(&mut self, mut wasm: &[u8]) -> Result<(), InspectError> {
        let mut parser = Parser::new(0);
        let mut outer = Vec::new();
        loop {
            let (payload, consumed) = match parser.parse(wasm, true)? {
                Chunk::Parsed { payload, consumed } => (payload, consumed),
                Chunk::NeedMoreData(_) => return Err(truncated(&parser)),
            };
            wasm = wasm.get(consumed..).ok_or_else(|| truncated(&parser))?;
            match payload {
                Payload::ModuleSection { parser: inner, .. } | Payload::ComponentSection { parser: inner, .. } => {
                    if outer.len() >= DEPTH {
                        return Err(InspectError::TooMuch { what: "levels of nested components", limit: DEPTH });
                    }
                    outer.push(std::mem::replace(&mut parser, inner));
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    wasm = wasm.get(size as usize..).ok_or_else(|| truncated(&parser))?;
                }
                Payload::End(_) => match outer.pop() {
                    Some(next) => parser = next,
                    None => return Ok(()),
                },
                other => self.section(other, outer.is_empty())?,
            }
        }
    }

    fn section(&mut self, payload: Payload<'_>, outermost: bool) -> Result<(), InspectError> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if outermost => Err(InspectError::CoreModule),
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.core_modules = self.core_modules.saturating_add(1);
                Ok(())
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let page = memory.page_size_log2.unwrap_or(16);
                    let bytes = memory.initial.saturating_mul(1_u64.checked_shl(page).unwrap_or(u64::MAX));
                    self.memory_minimum = self.memory_minimum.saturating_add(bytes);
                }
                Ok(())
            }
            Payload::ComponentImportSection(imports) if outermost => {
                for import in imports {
                    let import = import?;
                    push(&mut self.imports, "imports", import.name.name, import.ty.kind())?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(exports) if outermost => {
                for export in exports {
                    let export = export?;
                    push(&mut self.exports, "exports", export.name.name, export.kind)?;
                }
                Ok(())
            }
            Payload::CustomSection(custom) => {
                // Nothing checks a custom section, so a damaged one is no reason to refuse the component.
                if let KnownCustom::Producers(producers) = custom.as_known() {
                    let _ = self.producers(producers);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn producers(&mut self, fields: ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in fields {
            let field = field?;
            for value in field.values {
                let value = value?;
                let fits = [field.name, value.name, value.version].iter().all(|text| text.len() <= NAME_BYTES);
                if fits && self.producers.len() < PRODUCERS {
                    self.producers.insert(Producer {
                        field: field.name.into(),
                        name: value.name.into(),
                        version: value.version.into(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn push(
    list: &mut Vec<Extern>,
    what: &'static str,
    name: &str,
    kind: ComponentExternalKind,
) -> Result<(), InspectError> {
    if list.len() >= NAMES {
        return Err(InspectError::TooMuch { what, limit: NAMES });
    }
    if name.len() > NAME_BYTES {
        return Err(InspectError::TooMuch { what: "bytes in the name of an import or export", limit: NAME_BYTES });
    }
    let kind = match kind {
        ComponentExternalKind::Instance => Kind::Instance,
        ComponentExternalKind::Func => Kind::Function,
        ComponentExternalKind::Type => Kind::Type,
        _ => Kind::Other,
    };
    list.push(Extern { name: name.into(), kind });
    Ok(())
}

fn truncated(parser: &Parser) -> InspectError {
    InspectError::Malformed { offset: parser.offset() as usize, reason: "the file ends too early".into() }
}

impl From<wasmparser::BinaryReaderError> for InspectError {
    fn from(error: wasmparser::BinaryReaderError) -> InspectError {
        InspectError::Malformed { offset: error.offset(), reason: error.message().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Surface, InspectError> {
        Surface::parse(&wat::parse_str(text).unwrap())
    }

    fn names(items: &[Extern]) -> Vec<&str> {
        items.iter().map(|item| item.name.as_str()).collect()
    }

    const NESTED: &str = r#"(component
        (import "wasi:io/error@0.2.3" (instance (export "error" (type (sub resource)))))
        (import "edgewit:pubsub/publisher@0.1.0" (instance))
        (import "plain" (func))
        (core module (memory 3) (@producers (language "Rust" "1.95") (processed-by "clang" "17")))
        (component
            (import "hidden:inner/thing" (instance))
            (core module (memory 2) (memory 1) (@producers (language "C11" "")))
            (instance)
            (export "inner" (instance 1)))
        (instance)
        (export "edgewit:pubsub/handler@0.1.0" (instance 2)))"#;

    #[test]
    fn a_surface_is_that_of_the_outermost_component() {
        let surface = parse(NESTED).unwrap();
        assert_eq!(names(&surface.imports), ["wasi:io/error@0.2.3", "edgewit:pubsub/publisher@0.1.0", "plain"]);
        assert_eq!(names(&surface.exports), ["edgewit:pubsub/handler@0.1.0"]);
        assert_eq!(surface.imports[2].kind, Kind::Function);
        assert_eq!(
            surface.imports[0].interface(),
            Some(Interface { package: "wasi:io", name: "error", version: Some("0.2.3") })
        );
        assert_eq!(surface.imports[2].interface(), None);
        assert!(surface.imports("wasi:io/error") && !surface.imports("wasi:io/err"));
        assert!(surface.exports("edgewit:pubsub/handler"));
    }

    #[test]
    fn memory_modules_and_languages_are_those_of_everything_inside() {
        let surface = parse(NESTED).unwrap();
        assert_eq!(surface.core_modules, 2);
        assert_eq!(surface.memory_minimum, 6 * 65536);
        assert_eq!(surface.languages().collect::<Vec<_>>(), ["C11", "Rust"]);
        assert_eq!(surface.producers.len(), 3);
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        assert_eq!(Surface::parse(b""), Err(InspectError::Empty));
        assert_eq!(parse("(module)"), Err(InspectError::CoreModule));
        for (bytes, hint) in
            [(&b"\x7fELF..."[..], "native code"), (b"  (component)", "text format"), (b"PK", "`\\0asm`")]
        {
            let error = Surface::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn nesting_and_names_are_bounded() {
        let deep = "(component ".repeat(DEPTH + 2) + &")".repeat(DEPTH + 2);
        assert!(matches!(parse(&deep), Err(InspectError::TooMuch { limit: DEPTH, .. })));
        let many: String = (0..=NAMES).map(|n| format!("(import \"n{n}\" (func))")).collect();
        assert!(matches!(parse(&format!("(component {many})")), Err(InspectError::TooMuch { limit: NAMES, .. })));
        let long = "a".repeat(NAME_BYTES + 1);
        let import = format!("(component (import \"{long}\" (func)))");
        assert!(matches!(parse(&import), Err(InspectError::TooMuch { limit: NAME_BYTES, .. })));
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_is_more_than_an_error() {
        let wasm = wat::parse_str(NESTED).unwrap();
        for length in 0..wasm.len() {
            let _ = Surface::parse(&wasm[..length]);
        }
        for index in 0..wasm.len() * 8 {
            let mut damaged = wasm.clone();
            damaged[index / 8] ^= 1 << (index % 8);
            let _ = Surface::parse(&damaged);
        }
    }
}
