//! `edgewit-testcloud`: the shadow service of a cloud for whoever shows or tries edgewit, at any broker.
//!
//! It is no part of the product and keeps nothing. A person plays the cloud: sees every request and answer, wishes by
//! words, and makes the service fail.

mod words;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use edgewit_domain::config::values::parse_duration;
use edgewit_domain::shadow::ThingName;
use edgewit_testbed::{Faults, Place, ShadowCloud, Tls};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};

/// Answers for the shadows of a cloud, at any MQTT broker: for tests and for demonstrations
#[derive(Parser, Debug)]
#[command(
    name = "edgewit-testcloud",
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = concat!(
        "It listens to the requests on $aws/things/THING/shadow/… and answers them as AWS IoT does, from\n",
        "memory: what it knew is gone when it ends. Every request and every answer is a line of its output.\n",
        "Every word is a line of its input:\n\n",
        "  desire THING[/SHADOW] JSON    wish for something, as an application in the cloud does\n",
        "  get THING[/SHADOW]            show a shadow\n",
        "  delete THING[/SHADOW]         delete it\n",
        "  ls                            list the shadows\n",
        "  fault FAULT | fault none      fail in this way as well, or in none; FAULT is one of delay TIME,\n",
        "                                drop, duplicate, reorder, reject CODE, forget\n",
        "  forget                        lose every shadow, once\n",
        "  quit                          end; so does the end of the input\n\n",
        "Examples:\n",
        "  edgewit-testcloud --broker localhost:1883\n",
        "  edgewit-testcloud --broker localhost:8883 --ca ca.pem --certificate cloud.pem --key cloud.key\n",
        "  edgewit-testcloud --broker localhost:1883 --thing gw-7 --delay 2s --duplicate\n",
    )
)]
struct Args {
    /// The broker, as HOST:PORT
    #[arg(long, value_name = "HOST:PORT", value_parser = broker)]
    broker: (String, u16),
    /// Speak TLS, and believe the certificate authorities in this file (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate to show to the broker (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    certificate: Option<PathBuf>,
    /// The key to that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The name of the session at the broker
    #[arg(long, value_name = "ID", default_value = "edgewit-testcloud")]
    client_id: String,
    /// Answer for this thing only; may be repeated. Without it, for every thing
    #[arg(long = "thing", value_name = "THING", value_parser = ThingName::parse)]
    things: Vec<ThingName>,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Faults, from the start")]
struct FaultArgs {
    /// Answer so much later, such as 500ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Carry requests out, and lose the answers
    #[arg(long)]
    drop: bool,
    /// Say every answer twice
    #[arg(long)]
    duplicate: bool,
    /// Say the last answer to a request first
    #[arg(long)]
    reorder: bool,
    /// Carry nothing out, and say this: 409, 429 or 500
    #[arg(long, value_name = "CODE", value_parser = words::code)]
    reject: Option<u16>,
    /// Answer what is carried out, and do not keep it
    #[arg(long)]
    forget: bool,
}

impl From<FaultArgs> for Faults {
    fn from(FaultArgs { delay, drop, duplicate, reorder, reject, forget }: FaultArgs) -> Self {
        Faults { delay, drop, duplicate, reorder, reject, forget }
    }
}

fn broker(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| "a broker is HOST:PORT, such as localhost:1883".into())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let identity = args.certificate.as_deref().zip(args.key.as_deref());
    let tls = match args.ca.as_deref().map(|ca| Tls::read(ca, identity)).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            eprintln!("edgewit-testcloud: {error}");
            return ExitCode::from(64);
        }
    };
    let (host, port) = args.broker;
    let place = Place { host, port, client_id: args.client_id, tls, things: args.things };
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(play(place, args.faults.into(), input())),
        Err(error) => {
            eprintln!("edgewit-testcloud: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn play(place: Place, faults: Faults, mut lines: Receiver<String>) {
    let begun = Instant::now();
    say(&format!("looks for its broker at {}:{}", place.host, place.port));
    let cloud = ShadowCloud::start(place, move |told| say(&format!("{:9.3}  {told}", begun.elapsed().as_secs_f64())));
    cloud.set(faults);
    while let Some(line) = lines.recv().await {
        match words::obey(&cloud, &line) {
            Some(answer) => say(&answer),
            None => return,
        }
    }
}

/// Whoever stopped reading has stopped watching, and nothing else.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn input() -> Receiver<String> {
    let (said, lines) = channel(1);
    let reader =
        move || std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|it| said.blocking_send(it));
    // Without it the channel is closed, which ends the program.
    let _ = std::thread::Builder::new().name("words".to_owned()).spawn(reader);
    lines
}
