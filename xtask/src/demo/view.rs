//! How the scene is shown: a picture that is drawn over itself on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::Result;

use super::scene::{Component, Event, Kind, Room, Scene};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const MAGENTA: &str = "\x1b[1;35m";
const PLAIN: &str = "\x1b[0m";
/// To the end of the line, and to the end of the screen.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The temperatures at the two ends of a bar, in °C.
const SCALE: (f64, f64) = (2.0, 12.0);

/// A screen of its own, without lines that wrap; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?1049l";

pub struct View {
    terminal: bool,
}

impl View {
    pub fn new(terminal: bool) -> Self {
        if terminal {
            print!("{ENTER}");
        }
        View { terminal }
    }

    pub fn draw(&mut self, scene: &mut Scene, now: Duration) -> Result<()> {
        let news = std::mem::take(&mut scene.news);
        let text = if self.terminal { Self::picture(scene, now) } else { news.iter().map(plain).collect() };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    fn picture(scene: &Scene, now: Duration) -> String {
        let mut lines = vec![format!("{BOLD}edgewit · cold room{PLAIN}   {}   {DIM}Ctrl-C ends it{PLAIN}", clock(now))];
        lines.push(String::new());
        lines.extend(scene.rooms.iter().map(|(name, room)| room_line(name, room, now)));
        lines.push(String::new());
        lines.push(cloud_line(scene));
        lines.push(format!("  {:<8} {}", "setpoint", scene.shadow));
        lines.push(String::new());
        lines.push(format!(
            "{DIM}component   state      handled  published       p50       p99    memory  restarts{PLAIN}"
        ));
        lines.extend(scene.components.iter().map(|(name, component)| component_line(name, component)));
        lines.push(String::new());
        lines.extend(scene.events.iter().map(coloured));
        let mut text = String::from("\x1b[H");
        for line in &lines {
            let _ = writeln!(text, "{line}{CLEAR_LINE}");
        }
        text.push_str(CLEAR_REST);
        text
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.terminal {
            print!("{LEAVE}");
            // The terminal may be gone, and then there is nothing to give back.
            let _ = stdout().flush();
        }
    }
}

fn room_line(name: &str, room: &Room, now: Duration) -> String {
    let last = room.samples.back().map_or("    –".into(), |value| format!("{value:5.2}"));
    let mean = room.mean.map_or("    –".into(), |mean| format!("{mean:5.2}"));
    let curve: String = room.samples.iter().map(|value| bar(*value)).collect();
    let lasts = |since| now.saturating_sub(since).as_secs_f64();
    let state = match (room.alert_since, room.unusual_since) {
        (Some(since), _) => format!("{RED}● ALERT for {:.0} s{PLAIN}", lasts(since)),
        (None, Some(since)) => format!("{MAGENTA}● unusual for {:.0} s{PLAIN}", lasts(since)),
        (None, None) => format!("{GREEN}● well{PLAIN}"),
    };
    format!("  {name:<8} now {last} °C   mean {mean} °C   {curve:<48}  {state}")
}

fn cloud_line(scene: &Scene) -> String {
    let way =
        if scene.is_cut { format!("{YELLOW}● the way is cut{PLAIN}") } else { format!("{GREEN}● well{PLAIN}") };
    format!("  {:<8} {} alerts arrived   {} wait on disk   {way}", "cloud", scene.arrived, scene.waiting())
}

fn bar(value: f64) -> char {
    let (low, high) = SCALE;
    let step = ((value - low) / (high - low) * BARS.len() as f64).max(0.0) as usize;
    BARS.get(step).copied().unwrap_or('█')
}

fn component_line(name: &str, component: &Component) -> String {
    let colour = if component.state.state == "running" { GREEN } else { YELLOW };
    format!(
        "{name:<11} {colour}{:<9}{PLAIN} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9}",
        component.state.state,
        component.handled,
        component.published,
        time(component.p50_us),
        time(component.p99_us),
        format!("{:.1} MiB", component.memory as f64 / f64::from(1 << 20)),
        component.restarts
    )
}

/// As `edgewit top` shows it.
fn time(us: u64) -> String {
    if us < 1000 { format!("{us} µs") } else { format!("{:.1} ms", us as f64 / 1e3) }
}

fn coloured(event: &Event) -> String {
    let colour = match event.kind {
        Kind::Raised => RED,
        Kind::Unusual => MAGENTA,
        Kind::Cleared | Kind::Usual => GREEN,
        Kind::Cloud | Kind::Shadow => YELLOW,
        Kind::Average | Kind::Door => DIM,
    };
    format!("  {} {colour}{:<7} {}{PLAIN}", clock(event.at), word(event.kind), event.text)
}

fn plain(event: &Event) -> String {
    format!("{} {:<7} {}\n", clock(event.at), word(event.kind), event.text)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Average => "average",
        Kind::Unusual => "ANOMALY",
        Kind::Usual => "usual",
        Kind::Raised => "ALERT",
        Kind::Cleared => "over",
        Kind::Door => "door",
        Kind::Cloud => "cloud",
        Kind::Shadow => "shadow",
    }
}

fn clock(at: Duration) -> String {
    format!("{:6.1} s", at.as_secs_f64())
}
