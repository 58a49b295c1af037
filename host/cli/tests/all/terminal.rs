//! What the binary does with a terminal: draws on it, obeys its keys, and gives it back as it was.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use edgewit_domain::control::{Reply, Status};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{PATIENCE, StandIn, edgewit, eventually};

/// Both ends of a terminal with 24 lines of 80 characters.
struct Terminal {
    person: File,
    program: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&program, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        Terminal { person: person.into(), program }
    }

    fn stdio(&self) -> Stdio {
        Stdio::from(self.program.try_clone().unwrap())
    }

    fn is_line_wise(&self) -> bool {
        tcgetattr(&self.program).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Reads what is drawn until this has come.
    fn await_text(&mut self, text: &str) -> String {
        let mut drawn = Vec::new();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&drawn).contains(text) {
            let mut wanted = [PollFd::new(&self.person, PollFlags::IN)];
            let timeout = PATIENCE.try_into().unwrap();
            assert!(poll(&mut wanted, Some(&timeout)).unwrap() > 0, "{text:?} never came after {drawn:?}");
            let count = self.person.read(&mut part).unwrap();
            drawn.extend(part.iter().take(count));
        }
        String::from_utf8_lossy(&drawn).into_owned()
    }
}

fn top(gateway: &StandIn, terminal: &Terminal) -> Child {
    edgewit(gateway.folder.path())
        .args(["top", "--socket", "control.sock"])
        .env("TERM", "xterm")
        .stdin(terminal.stdio())
        .stdout(terminal.stdio())
        .stderr(terminal.stdio())
        .spawn()
        .unwrap()
}

fn gateway() -> StandIn {
    let status = Status { thing: "gw-cellar-7".into(), ..Status::default() };
    StandIn::new(vec![vec![Reply::Status(Box::new(status))]; 100])
}

/// Starts `top`, ends it in this way, and expects the terminal back.
fn check(end: impl FnOnce(&mut Terminal, &Child)) {
    let (gateway, mut terminal) = (gateway(), Terminal::new());
    assert!(terminal.is_line_wise());
    let mut child = top(&gateway, &terminal);
    let picture = terminal.await_text("gw-cellar-7");
    assert!(picture.contains("\u{1b}[?25l") && !terminal.is_line_wise(), "{picture:?}");
    end(&mut terminal, &child);
    terminal.await_text("\u{1b}[?25h\u{1b}[?1049l");
    let status = eventually("top ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(terminal.is_line_wise(), "the terminal is as it was");
}

#[test]
fn q_ends_top_and_other_keys_do_not() {
    check(|terminal, _| terminal.person.write_all(b"xyzq").unwrap());
}

#[test]
fn ctrl_c_ends_top() {
    check(|terminal, _| terminal.person.write_all(b"\x03").unwrap());
}

#[test]
fn a_signal_ends_top() {
    check(|_, child| kill_process(Pid::from_child(child), Signal::TERM).unwrap());
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let draw = |no_colour: &str| {
        let (gateway, mut terminal) = (gateway(), Terminal::new());
        let mut ps = edgewit(gateway.folder.path());
        ps.args(["ps", "--socket", "control.sock"]).env("TERM", "xterm").env("NO_COLOR", no_colour);
        let mut child = ps.stdout(terminal.stdio()).spawn().unwrap();
        let text = terminal.await_text("no components");
        assert!(child.wait().unwrap().success());
        text
    };
    assert!(draw("").contains("\u{1b}[1mgw-cellar-7"));
    assert!(!draw("1").contains('\u{1b}'));
}
