//! Where in the guest something ended, as its author reads it: one frame a line, innermost first, without what the
//! language's runtime does on its way from a panic to the trap.
//!
//! Works on the text that the engine makes, which has the names demangled already.

use wasmtime::WasmBacktrace;

/// How the functions begin that a panic, an abort or the canonical ABI runs through, and no author wrote.
const RUNTIME: [&str; 15] = [
    "__rust",
    "rust_begin_unwind",
    "rust_panic",
    "std::panicking::",
    "std::process::abort",
    "std::rt::",
    "std::sys::",
    "std::alloc::",
    "core::panicking::",
    "core::option::unwrap_failed",
    "core::option::expect_failed",
    "core::result::unwrap_failed",
    "alloc::alloc::handle_alloc_error",
    "cabi_realloc",
    "abort",
];

pub(super) fn frames(backtrace: &WasmBacktrace) -> String {
    readable(&backtrace.to_string())
}

fn readable(text: &str) -> String {
    let mut frames: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((_, name)) = line.split_once("- ") {
            frames.push(without_hashes(name));
        } else if let (Some(file), Some(frame)) = (line.strip_prefix("at "), frames.last_mut()) {
            frame.push_str(" at ");
            frame.push_str(file);
        }
    }
    let own: Vec<&str> = frames.iter().map(String::as_str).filter(|frame| !is_runtime(frame)).collect();
    // A guest that is all runtime is shown as it is.
    if own.is_empty() { frames.join("\n") } else { own.join("\n") }
}

fn is_runtime(frame: &str) -> bool {
    let name = frame.rsplit_once(".wasm!").map_or(frame, |(_, name)| name);
    RUNTIME.iter().any(|start| name.starts_with(start))
}

/// `std[d123b7a1a2ed1472]::rt` and `std::rt::h0123456789abcdef` tell builds of a crate apart, and nobody who reads.
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let legacy = name.rsplit_once("::h").filter(|(_, hash)| is_hash(hash));
    let mut rest = legacy.map_or(name, |(name, _)| name);
    let mut shown = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('[') {
        shown.push_str(before);
        rest = match after.split_once(']') {
            Some((hash, after)) if is_hash(hash) => after,
            _ => {
                shown.push('[');
                after
            }
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_the_author_s_frames() {
        let engine = "error while executing at wasm backtrace:
    0:   0x105ca - a.wasm!abort
    1:   0x10c2b - a.wasm!std[d123b7a1a2ed1472]::process::abort
    2:   0x10c2b - a.wasm!__rustc[b7974e8690430dd9]::rust_begin_unwind
    3:   0x10d2b - a.wasm!core[6d9e98711c484d2e]::panicking::panic_fmt
    4:   0x10e2b - a.wasm!core::panicking::panic::h0123456789abcdef
    5:   0x10f2b - a.wasm!<a[6d9e98711c484d2e]::Alerts as edgewit_sdk[6d9e98711c484d2e]::HandleMessages>::on_message
                    at src/lib.rs:7:5
                - a::inlined([u8; 3])
    6:   0x11f2b - a.wasm!edgewit:pubsub/handler@0.1.0#on-message";
        let expected = "a.wasm!<a::Alerts as edgewit_sdk::HandleMessages>::on_message at src/lib.rs:7:5
a::inlined([u8; 3])
a.wasm!edgewit:pubsub/handler@0.1.0#on-message";
        assert_eq!(readable(engine), expected);
        assert_eq!(readable("    0:   0x105ca - a.wasm!abort"), "a.wasm!abort");
        assert_eq!(readable(""), "");
    }
}
