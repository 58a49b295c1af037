//! What a component was not granted does not exist for it, or refuses with the line that would permit it. Each denial
//! stands before its permission.

use std::fs::OpenOptions;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::Outcome;
use edgewit_sandbox::{Fetch, FetchError, FetchRequest, FetchResponse, LinkError};
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};

use crate::support::{Bed, bed, bed_with, prepare, publishes};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"#\"\n";

#[test]
fn an_import_without_its_grant_is_refused_at_load_with_the_lines_that_are_missing() {
    let refusal = |tables: &str| match prepare("importer", tables) {
        Err(LinkError::Denied(denied)) => LinkError::Denied(denied).to_string(),
        other => panic!("{:?}", other.map(|prepared| prepared.exports())),
    };
    let both = refusal("");
    assert!(both.contains("[component.it.grant.publish]") && both.contains("[component.it.grant.timer]"), "{both}");
    let one = refusal(PUBLISH);
    assert!(!one.contains("grant.publish]") && one.contains("[component.it.grant.timer]"), "{one}");
    prepare("importer", &format!("{PUBLISH}[component.it.grant.timer]\npending = 1\n")).unwrap();
}

fn files(tables: &str, folder: &tempfile::TempDir) -> Bed {
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    bed_with("files", &format!("{PUBLISH}{tables}"), |services| {
        services.dirs.insert("spool".into(), Arc::new(dir));
    })
}

#[test]
fn directories_are_there_by_grant_only_and_end_at_their_edge() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::fs::write(inside.join("known"), "content").unwrap();
    std::os::unix::fs::symlink("../secret", inside.join("way-out")).unwrap();
    let dir = tempfile::tempdir_in(folder.path()).unwrap();
    std::fs::copy(inside.join("known"), dir.path().join("known")).unwrap();
    std::os::unix::fs::symlink("../secret", dir.path().join("way-out")).unwrap();

    let none = "";
    let read = "[component.it.grant.dir]\nspool = { path = \"/x\" }\n";
    let write = "[component.it.grant.dir]\nspool = { path = \"/x\", write = true }\n";
    for (grant, command, expected) in [
        (none, "read /spool/known", false),
        (none, "write /spool/new text", false),
        (none, "read /etc/hostname", false),
        (read, "write /spool/new text", false),
        (read, "remove /spool/known", false),
        (read, "read /spool/../secret", false),
        (read, "read /spool/way-out", false),
        (read, "read /etc/hostname", false),
        (read, "read /spool/known", true),
        (read, "list /spool", true),
        (write, "read /spool/../secret", false),
        (write, "write /spool/../new text", false),
        (write, "write /spool/new text", true),
        (write, "read /spool/new", true),
        (write, "remove /spool/new", true),
    ] {
        let report = &files(grant, &dir).published(command)[0].1;
        assert_eq!(report.starts_with("ok"), expected, "{grant:?} {command:?}: {report}");
    }
}

/// Opening a pipe waits for its other end, out of reach of every deadline, and so might reading from a device.
#[test]
fn only_files_and_folders_are_opened_and_nothing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    mkfifoat(CWD, path("pipe"), Mode::RWXU).unwrap();
    mkfifoat(CWD, path("read-pipe"), Mode::RWXU).unwrap();
    mknodat(CWD, path("socket"), FileType::Socket, Mode::RWXU, 0).unwrap();
    std::os::unix::fs::symlink("pipe", path("link")).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("folder/file"), "content").unwrap();
    std::os::unix::fs::symlink("folder/file", path("good-link")).unwrap();
    let both_ends = OpenOptions::new().read(true).write(true).open(path("read-pipe")).unwrap();

    const NOT_PERMITTED: &str = "error: Operation not permitted";
    let write = "[component.it.grant.dir]\nspool = { path = \"/x\", write = true }\n";
    for (command, expected) in [
        ("read /spool/pipe", NOT_PERMITTED),
        ("write /spool/pipe text", NOT_PERMITTED),
        ("read /spool/link", NOT_PERMITTED),
        ("read /spool/read-pipe", NOT_PERMITTED),
        ("write /spool/read-pipe text", NOT_PERMITTED),
        ("read /spool/socket", NOT_PERMITTED),
        ("list /spool/pipe", "error"),
        ("read /spool/folder", "error"),
        ("list /spool/folder/file", "error"),
        ("read /spool/nothing", "error"),
        ("list /spool/folder", "ok: file"),
        ("list /spool/folder/", "ok: file"),
        ("read /spool/folder/file", "ok: content"),
        ("read /spool/good-link", "ok: content"),
        ("write /spool/good-link longer than before", "ok: written"),
        ("write /spool/good-link short", "ok: written"),
        ("read /spool/folder/file", "ok: short"),
        ("list /spool", "ok: folder good-link link pipe read-pipe socket"),
    ] {
        let report = &files(write, &dir).published(command)[0].1;
        assert!(report.starts_with(expected), "{command:?}: {report}");
    }
    drop(both_ends);
}

/// A network in which every name resolves to one address, and which remembers what was asked of it.
#[derive(Clone)]
struct Network {
    address: IpAddr,
    asked: Arc<Mutex<Vec<String>>>,
    answers: bool,
}

impl Fetch for Network {
    fn fetch(&self, request: FetchRequest) -> Pin<Box<dyn Future<Output = Result<FetchResponse, FetchError>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            (request.check)(this.address).map_err(FetchError::AddressRefused)?;
            this.asked.lock().unwrap().push(format!("{}:{}", request.host, request.port));
            if this.answers { Err(FetchError::Connect) } else { std::future::pending().await }
        })
    }
}

fn network(address: [u8; 4], answers: bool) -> Network {
    Network { address: Ipv4Addr::from(address).into(), asked: Arc::default(), answers }
}

fn http(network: &Network, origin: &str, more: &str) -> Bed {
    let tables = format!("{PUBLISH}[component.it.config]\norigin = \"{origin}\"\n{more}");
    bed_with("http-hang", &tables, |services| services.fetch = Arc::new(network.clone()))
}

#[test]
fn http_goes_to_granted_origins_and_permitted_addresses_only() {
    const PUBLIC: [u8; 4] = [93, 184, 215, 14];
    const INSIDE: [u8; 4] = [10, 0, 0, 7];
    for (grant, origin, address, expected) in [
        ("", "https://api.example", PUBLIC, "HttpRequestDenied"),
        ("a = \"https://other.example\"", "https://api.example", PUBLIC, "HttpRequestDenied"),
        ("a = \"https://api.example\"", "http://api.example", PUBLIC, "HttpRequestDenied"),
        ("a = \"https://api.example\"", "https://api.example:444", PUBLIC, "HttpRequestDenied"),
        ("a = \"https://api.example\"", "https://api.example", INSIDE, "DestinationIpProhibited"),
        ("a = \"https://api.example\"", "https://api.example", [127, 0, 0, 1], "DestinationIpProhibited"),
        ("a = \"https://api.example\"", "https://api.example", PUBLIC, "ConnectionRefused"),
        ("a = \"https://api.example\"", "https://API.example:443", PUBLIC, "ConnectionRefused"),
        (
            "a = { origin = \"http://plc.local:8080\", networks = [\"10.0.0.0/8\"] }",
            "http://plc.local:8080",
            INSIDE,
            "ConnectionRefused",
        ),
    ] {
        let network = network(address, true);
        let grant = if grant.is_empty() { String::new() } else { format!("[component.it.grant.http]\n{grant}\n") };
        let report = http(&network, origin, &grant).published("/").remove(0).1;
        assert!(report.contains(expected), "{grant:?} {origin} {address:?}: {report}");
        let reached = !network.asked.lock().unwrap().is_empty();
        assert_eq!(reached, expected == "ConnectionRefused", "{grant:?} {origin} {address:?}");
    }
}

/// What a request is made of lies in the host's memory, and a guest may hold as many requests as it has handles.
#[test]
fn the_texts_of_a_request_are_bounded() {
    let network = network([93, 184, 215, 14], true);
    let bed = || http(&network, "https://api.example", "[component.it.grant.http]\na = \"https://api.example\"\n");
    for (wish, expected) in [
        ("make field 16000", Some("made")),
        ("make field 17000", None),
        ("make method 1000", Some("made")),
        ("make method 16385", Some("error: refused")),
        ("make path 16000", Some("made")),
        ("make path 16384", Some("error: refused")),
        ("make authority 16000", Some("made")),
        ("make authority 16385", Some("error: refused")),
    ] {
        match (expected, bed().message(wish)) {
            (Some(expected), Ok(Outcome::Done(effects))) => assert_eq!(publishes(&effects)[0].1, expected, "{wish}"),
            (None, Err(fault)) => assert_eq!(fault.kind(), "trap", "{wish}: {fault}"),
            (_, other) => panic!("{wish}: {other:?}"),
        }
    }
}

#[test]
fn h9_a_server_that_never_answers_ends_at_the_wall_deadline() {
    let grant = "[component.it.grant.http]\na = \"https://api.example\"\n[component.it.limits]\nwall = \"150ms\"\n";
    let mut bed = http(&network([93, 184, 215, 14], false), "https://api.example", grant);
    let interrupter = bed.services.interrupter.clone();
    let (over, waits) = mpsc::sync_channel::<()>(0);
    let fault = thread::scope(|scope| {
        // A guest that waits for ever fails this test soon, and says how it was ended.
        scope.spawn(move || {
            if waits.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupter.interrupt();
            }
        });
        let ended = bed.message("/");
        drop(over);
        ended.unwrap_err()
    });
    assert_eq!(fault.kind(), "wall-deadline", "{fault}");
}

#[test]
fn the_environment_and_the_arguments_are_empty_and_exit_is_a_fault() {
    let mut bed = bed("trap", "");
    assert!(matches!(bed.message("x"), Err(Fault::Trap { .. } | Fault::Exit { .. })));
}
