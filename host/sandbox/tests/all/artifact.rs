//! Code reaches wasmtime only if this gateway's compiling child made it; and a child can do what it likes without
//! harm to the gateway. What the child does to itself stands in `child`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::config::Profile;
use edgewit_domain::limits::MIB;
use edgewit_sandbox::artifact::{Digest, DigestIndex, LoadError, Loader};
use edgewit_sandbox::engine::Engine;
use edgewit_sandbox::inspect::InspectError;
use edgewit_sandbox::worker::CompileLimits;
use edgewit_worker::WorkerCommand;
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};
use tempfile::TempDir;

pub const WORKER: &str = env!("CARGO_BIN_EXE_sandbox-worker");

#[derive(Default)]
struct Index(Mutex<HashMap<String, Digest>>);

impl DigestIndex for Index {
    fn get(&self, key: &str) -> Option<Digest> {
        self.0.lock().unwrap().get(key).copied()
    }

    fn put(&self, key: &str, digest: Digest) -> io::Result<()> {
        self.0.lock().unwrap().insert(key.into(), digest);
        Ok(())
    }

    fn retain(&self, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
        self.0.lock().unwrap().retain(|key, _| keep(key));
        Ok(())
    }
}

/// A cache that outlives its loaders.
struct Bench {
    dir: TempDir,
    index: Arc<Index>,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap(), index: Arc::default() }
    }

    fn loader(&self, command: WorkerCommand) -> Loader {
        let dir = Dir::open_ambient_dir(self.dir.path(), ambient_authority()).unwrap();
        Loader::new(Engine::new(Profile::Standard).unwrap(), dir, self.index.clone(), command)
    }

    fn working(&self) -> Loader {
        self.loader(WorkerCommand { program: WORKER.into(), args: Vec::new() })
    }

    /// A loader that cannot compile.
    fn idle(&self) -> Loader {
        self.loader(WorkerCommand { program: "/nonexistent".into(), args: Vec::new() })
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn entry(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    fn overwrite(&self, code: &[u8]) {
        let path = self.entry();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, code).unwrap();
    }
}

fn shell(script: &str) -> WorkerCommand {
    WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
}

fn component(answer: u32) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m (func (export "answer") (result i32) i32.const {answer}))
            (core instance $i (instantiate $m))
            (func (export "answer") (result u32) (canon lift (core func $i "answer"))))"#
    ))
    .unwrap()
}

/// One function that goes on and on: small to read, large to compile.
fn bomb() -> Vec<u8> {
    let body = "local.get 0 local.get 1 i32.mul local.tee 0 local.get 1 i32.add local.set 1 ".repeat(60_000);
    wat::parse_str(format!(
        "(component (core module (func (export \"f\") (param i32 i32) (result i32) {body} local.get 0)))"
    ))
    .unwrap()
}

fn answer(loader: &Loader, wasm: &[u8]) -> u32 {
    let artifact = loader.load(wasm).unwrap();
    let engine = artifact.component.engine().clone();
    let mut store = wasmtime::Store::new(&engine, ());
    store.set_epoch_deadline(1000);
    let instance = wasmtime::component::Linker::new(&engine).instantiate(&mut store, &artifact.component).unwrap();
    let function = instance.get_typed_func::<(), (u32,)>(&mut store, "answer").unwrap();
    function.call(&mut store, ()).unwrap().0
}

#[test]
fn the_second_load_needs_no_compiler() {
    let bench = Bench::new();
    assert_eq!(answer(&bench.working(), &component(42)), 42);
    assert_eq!(answer(&bench.idle(), &component(42)), 42);
    assert!(matches!(bench.idle().load(&component(43)), Err(LoadError::Worker { .. })));
    let mode = fs::metadata(bench.entry()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400, "nobody writes to code that may be mapped");
}

#[test]
fn a_damaged_or_foreign_cache_file_is_compiled_again_and_never_run() {
    let other = {
        let bench = Bench::new();
        bench.working().load(&component(7)).unwrap();
        fs::read(bench.entry()).unwrap()
    };
    type Damage = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let cases: [(&str, Damage); 8] = [
        ("empty", Box::new(|_| Vec::new())),
        ("truncated", Box::new(|code| code[..code.len() / 2].into())),
        ("its last page never written", Box::new(|code| [&code[..code.len() - 100], &[0; 100]].concat())),
        ("all zeros", Box::new(|code| vec![0; code.len()])),
        ("longer", Box::new(|code| [code, b"x"].concat())),
        ("one bit flipped", Box::new(|code| code.iter().enumerate().map(|(i, b)| b ^ u8::from(i == 5000)).collect())),
        ("another program", Box::new(|_| fs::read("/bin/sh").unwrap())),
        ("another component's code", Box::new(move |_| other.clone())),
    ];
    for (name, damage) in cases {
        let bench = Bench::new();
        bench.working().load(&component(42)).unwrap();
        let good = fs::read(bench.entry()).unwrap();
        bench.overwrite(&damage(&good));
        assert!(matches!(bench.idle().load(&component(42)), Err(LoadError::Worker { .. })), "{name}: was run");
        assert_eq!(answer(&bench.working(), &component(42)), 42, "{name}");
        assert_eq!(Digest::of(&fs::read(bench.entry()).unwrap()), Digest::of(&good), "{name}: was not replaced");
    }
}

/// A folder in its place, and what cannot be removed by a plain `unlink`, would keep the component from running for
/// ever; a pipe would keep its reader waiting.
#[test]
fn whatever_lies_in_the_place_of_compiled_code_is_replaced() {
    type Put = fn(&Path);
    let cases: [(&str, Put); 5] = [
        ("a pipe", |path| mkfifoat(CWD, path, Mode::RWXU).unwrap()),
        ("a socket", |path| mknodat(CWD, path, FileType::Socket, Mode::RWXU, 0).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a full folder", |path| fs::create_dir_all(path.join("more")).unwrap()),
        ("a link that leads out", |path| std::os::unix::fs::symlink("/etc/hostname", path).unwrap()),
    ];
    for (what, put) in cases {
        let bench = Bench::new();
        bench.working().load(&component(42)).unwrap();
        let entry = bench.entry();
        fs::remove_file(&entry).unwrap();
        put(&entry);
        let temporary = entry.with_extension("cwasm.tmp");
        let loader = bench.working();
        put(&temporary);
        assert_eq!(answer(&loader, &component(42)), 42, "{what}");
        assert_eq!(answer(&bench.idle(), &component(42)), 42, "{what}: was not replaced");
        put(&entry.with_file_name("old.cwasm"));
        loader.sweep(&[]).unwrap();
        assert_eq!(bench.files(), Vec::<PathBuf>::new(), "{what}: was not swept");
    }
}

#[test]
fn what_a_killed_gateway_left_half_compiled_is_gone_at_the_next_start() {
    let bench = Bench::new();
    bench.working().load(&component(1)).unwrap();
    fs::write(bench.dir.path().join("0123.cwasm.tmp"), "half").unwrap();
    fs::write(bench.dir.path().join("4567.cwasm.77.tmp"), "of an older version").unwrap();
    let loader = bench.idle();
    assert_eq!(bench.files(), [bench.entry()]);
    assert_eq!(answer(&loader, &component(1)), 1);
}

#[test]
fn code_that_the_index_does_not_know_is_compiled_again() {
    let bench = Bench::new();
    bench.working().load(&component(42)).unwrap();
    bench.index.0.lock().unwrap().clear();
    assert!(matches!(bench.idle().load(&component(42)), Err(LoadError::Worker { .. })));
    assert_eq!(answer(&bench.working(), &component(42)), 42);
}

#[test]
fn a_file_and_index_entry_forged_by_another_engine_are_refused() {
    let bench = Bench::new();
    bench.working().load(&component(42)).unwrap();
    let key = bench.entry().file_name().unwrap().to_str().unwrap().to_owned();
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(false);
    let foreign = wasmtime::Engine::new(&config).unwrap().precompile_component(&component(13)).unwrap();
    bench.overwrite(&foreign);
    bench.index.put(&key, Digest::of(&foreign)).unwrap();
    assert!(matches!(bench.idle().load(&component(42)), Err(LoadError::Worker { .. })));
    assert_eq!(answer(&bench.working(), &component(42)), 42);
}

#[test]
fn what_is_no_component_gets_a_reason() {
    let bench = Bench::new();
    let core = wat::parse_str("(module)").unwrap();
    let invalid = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    let loader = bench.working();
    let reason = |wasm: &[u8]| loader.load(wasm).err().unwrap();
    assert!(matches!(reason(b""), LoadError::NotAComponent(InspectError::Empty)));
    assert!(matches!(reason(b"#!/bin/sh"), LoadError::NotAComponent(InspectError::NotWasm { .. })));
    assert!(matches!(reason(b"\x7fELF"), LoadError::NotAComponent(InspectError::NotWasm { .. })));
    assert!(matches!(reason(&core), LoadError::NotAComponent(InspectError::CoreModule)));
    assert!(reason(&core).to_string().contains("wasm32-wasip2"), "the cure is missing");
    assert!(matches!(reason(&component(1)[..30]), LoadError::NotAComponent(InspectError::Malformed { .. })));
    let LoadError::Compile { reason: text } = reason(&invalid) else { panic!("an invalid module compiled") };
    assert!(text.contains("type mismatch"), "{text}");
    assert!(matches!(reason(&vec![0; 128 * 1024 * 1024 + 1]), LoadError::TooLarge { .. }));
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_compile_bomb_ends_at_its_limits_and_the_loader_goes_on() {
    let bench = Bench::new();
    let bomb = bomb();
    let memory = CompileLimits { memory: 192 * MIB, ..CompileLimits::default() };
    let outcome = bench.working().with_limits(memory).load(&bomb).err();
    assert!(matches!(outcome, Some(LoadError::CompileMemory { .. })), "{outcome:?}");
    let time = CompileLimits { time: Duration::from_millis(100), ..CompileLimits::default() };
    let outcome = bench.working().with_limits(time).load(&bomb).err();
    assert!(matches!(outcome, Some(LoadError::CompileTimeout { .. })), "{outcome:?}");
    let output = CompileLimits { output: 1000, ..CompileLimits::default() };
    let outcome = bench.working().with_limits(output).load(&component(42)).err();
    assert!(matches!(outcome, Some(LoadError::CompiledSize { limit: 1000 })), "{outcome:?}");
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
    assert_eq!(answer(&bench.working(), &component(42)), 42);
}

#[test]
fn a_child_that_fails_in_any_way_is_an_error_and_leaves_nothing_behind() {
    let half = r"cat >/dev/null; printf 'edgewit\001\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\350\3\0\0\0\0\0\0half'";
    let endless = r"cat >/dev/null; printf 'edgewit\001\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\100'; yes";
    let scripts = [
        ("ends at once", "exit 3", "exit status: 3"),
        ("is killed while it reads", "head -c 100 >/dev/null; kill -9 $$", "signal: 9"),
        ("is killed after half of the code", &format!("{half}; kill -9 $$"), "signal: 9"),
        ("stops after half of the code", half, "exit status: 0"),
        ("says why it dies", "echo no luck >&2; exit 1", "no luck"),
        ("answers with garbage", "cat >/dev/null; head -c 1000 /dev/zero; exit 4", "exit status: 4"),
        ("claims to send more than there can be", endless, "more than 512 MiB"),
        ("never answers", "cat >/dev/null; sleep 1000", "took longer"),
        ("never reads", "sleep 1000", "took longer"),
        ("fills its standard error", "cat >/dev/null; yes >&2", "took longer"),
        ("ends but leaves a process with its pipes", "cat >/dev/null; sleep 1000 & exit 0", "took longer"),
    ];
    let mut wasm = component(42);
    // Larger than a pipe's buffer: a custom section.
    wasm.extend([0, 0x80, 0x80, 0x10, 1, b'x']);
    wasm.extend(vec![0; 0x4_0000 - 2]);
    for (name, script, expected) in scripts {
        let bench = Bench::new();
        let limits = CompileLimits { time: Duration::from_secs(1), ..CompileLimits::default() };
        let started = Instant::now();
        let error = bench.loader(shell(script)).with_limits(limits).load(&wasm).err().unwrap();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{name}: {:?}", started.elapsed());
        assert_eq!(bench.files(), Vec::<PathBuf>::new(), "{name}");
        assert_eq!(answer(&bench.working(), &wasm), 42, "{name}");
    }
}

#[test]
fn threads_that_want_the_same_component_share_one_compile() {
    let bench = Bench::new();
    let log = tempfile::NamedTempFile::new().unwrap();
    let loader = bench.loader(shell(&format!("echo compile >> {}; exec {WORKER}", log.path().display())));
    let wasm = component(42);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(answer(&loader, &wasm), 42));
        }
    });
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "compile\n");
}

#[test]
fn a_sweep_keeps_what_is_in_use_and_removes_the_rest() {
    let bench = Bench::new();
    let loader = bench.working();
    let kept = loader.load(&component(1)).unwrap();
    let dropped = loader.load(&component(2)).unwrap();
    fs::write(bench.dir.path().join("0123.cwasm"), "of an older engine").unwrap();
    fs::write(bench.dir.path().join("fresh.1.tmp"), "of a compile under way").unwrap();
    assert_eq!(loader.sweep(&[kept.digest]).unwrap(), 2);
    assert_eq!(bench.files().len(), 2, "{:?}", bench.files());
    assert_eq!(bench.index.0.lock().unwrap().len(), 1);
    assert_eq!(answer(&bench.idle(), &component(1)), 1);
    assert!(bench.idle().load(&component(2)).is_err());
    assert_eq!(dropped.surface.core_modules, 1, "a swept artifact that is in use goes on");
}

#[test]
fn engines_of_different_profiles_never_share_code() {
    let bench = Bench::new();
    bench.working().load(&component(42)).unwrap();
    let dir = Dir::open_ambient_dir(bench.dir.path(), ambient_authority()).unwrap();
    let command = WorkerCommand { program: WORKER.into(), args: Vec::new() };
    let small = Loader::new(Engine::new(Profile::Small).unwrap(), dir, bench.index.clone(), command);
    assert_eq!(answer(&small, &component(42)), 42);
    assert_eq!(bench.files().len(), 2);
}
