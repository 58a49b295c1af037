//! The terminal while `top` runs: a screen of its own, no cursor, single keys.
//!
//! Whatever way `top` ends (`q`, Ctrl-C, a signal, an error), the terminal is given back as it was found: the
//! guard's `drop` does it, so no path can forget it.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{Frame, Sample, next};
use crate::exit::{Exit, Outcome};
use crate::output::{Look, Printing};

const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const CTRL_C: u8 = 3;

/// Draws each sample until someone ends it.
pub fn show(mut samples: Receiver<anyhow::Result<Sample>>, mut before: Sample) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut screen = Screen::open()?;
    runtime.block_on(async {
        let mut ends = Ends::listen()?;
        screen.draw(&before, &before)?;
        loop {
            tokio::select! {
                () = ends.wait() => return Ok(Exit::Ok),
                sample = samples.recv() => {
                    let now = next(sample)?;
                    screen.draw(&before, &now)?;
                    before = now;
                }
            }
        }
    })
}

/// The terminal, changed, and how it was before.
struct Screen {
    keys: Option<Termios>,
}

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let stdin = io::stdin();
        let keys = if stdin.is_terminal() { Some(tcgetattr(&stdin)?) } else { None };
        let screen = Screen { keys };
        if let Some(mut modes) = screen.keys.clone() {
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &modes)?;
        }
        write(OPEN)?;
        Ok(screen)
    }

    fn draw(&mut self, before: &Sample, now: &Sample) -> anyhow::Result<()> {
        let look = Look::of_stdout();
        let rows = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
        let text = Frame::between(before, now).render(&now.status, look);
        let mut picture = String::from("\x1b[H");
        let last = rows.unwrap_or(24).saturating_sub(1);
        for line in text.lines().take(last) {
            picture.push_str(line);
            picture.push_str("\x1b[K\n");
        }
        picture.push_str("\x1b[J");
        let hidden = text.lines().count().saturating_sub(last);
        if hidden > 0 {
            picture.push_str(&format!("… {hidden} more"));
        }
        write(&picture).context(Printing)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(CLOSE);
        if let Some(modes) = &self.keys {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, modes);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Everything that ends `top`.
struct Ends {
    keys: Receiver<()>,
    /// Where there are no keys, it keeps the channel from ending.
    _keyboard: Option<Sender<()>>,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Ends {
    fn listen() -> anyhow::Result<Self> {
        let (sender, keys) = channel(1);
        let mut keyboard = Some(sender);
        if io::stdin().is_terminal() {
            let sender = keyboard.take();
            std::thread::Builder::new().name("keyboard".into()).spawn(move || await_quit(sender))?;
        }
        Ok(Ends {
            keys,
            _keyboard: keyboard,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.keys.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Returns at `q`, Ctrl-C, or the end of the terminal. Its thread ends with the process.
fn await_quit(sender: Option<Sender<()>>) {
    let mut pressed = [0];
    while matches!(io::stdin().read(&mut pressed), Ok(1)) && !matches!(pressed, [b'q' | b'Q' | CTRL_C]) {}
    // Dropped, the sender ends the channel, and that is the word that is waited for.
    drop(sender);
}
