//! Ten thousand shadows that are the same in a cloud: what a start with them costs, and comparing them all once.
//!
//! The cloud is `edgewit-testcloud`, in a process of its own behind a real broker with TLS. The rate is the highest that
//! may be configured, so that the measurement ends; what is fetched does not depend on it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use edgewit_domain::control::{Command as Ask, Reply, ShadowsStatus};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_gateway::control::Client;
use edgewit_store::Kind;

use crate::bed::{Folder, Process, binary};
use crate::broker::Broker;
use crate::figure::{Budget, Figure};
use crate::machine::pss;
use crate::store::roomy;

const THINGS: usize = 100;
/// Of each thing.
const SHADOWS: usize = 100;
/// Requests a second.
const RATE: usize = 1000;
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(240);

/// Ends with the measurement.
struct Cloud(Child);

impl Drop for Cloud {
    fn drop(&mut self) {
        // Nothing is kept that could be lost.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run() -> Result<Vec<Figure>> {
    let folder = Folder::new(&roomy(Kind::Sqlite))?;
    let broker = Broker::start(folder.path())?;
    let _cloud = cloud(&folder, &broker)?;
    fill(&folder)?;
    let empty = start(&folder)?.1;
    let rules: String =
        (0..THINGS).map(|thing| format!("[shadow.sync.t{thing}]\nthing = \"t{thing}\"\nshadow = \"+\"\n")).collect();
    let rate = format!("rate.shadow-requests = {RATE}\n");
    folder.configure(&format!("{}{}{rate}{rules}", roomy(Kind::Sqlite), broker.cloud()))?;
    let (first, ..) = start(&folder)?;
    let pushed = reconcile(&first)?;
    ensure!(pushed.status.requests >= 2 * (THINGS * SHADOWS) as u64, "they were there already");
    drop(first);
    let (process, took) = start(&folder)?;
    let compared = reconcile(&process)?;
    let shadows = (THINGS * SHADOWS) as f64;
    Ok(vec![
        Figure::beside("shadow: start with 10,000 in sync", "ms", &[(took, empty)], Budget::None),
        Figure::alone("shadow: 10,000 compared", compared.took.as_secs_f64(), "s", Budget::None),
        Figure::alone("shadow: requests for each", compared.status.requests as f64 / shadows, "", Budget::Value(1.0)),
        Figure::alone("shadow: memory with 10,000", compared.memory / 1e6, "MB", Budget::Value(64.0)),
    ])
}

fn cloud(folder: &Folder, broker: &Broker) -> Result<Cloud> {
    let mut command = Command::new(binary()?.with_file_name("edgewit-testcloud"));
    command.arg("--broker").arg(format!("localhost:{}", broker.port));
    command.args(["--ca", "ca.pem", "--certificate", "client.pem", "--key", "client.key"]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
    Ok(Cloud(command.spawn()?))
}

fn fill(folder: &Folder) -> Result<()> {
    let gateway = folder.start()?;
    let fill = |thing: usize| -> Result<()> {
        for shadow in 0..SHADOWS {
            let topic = Topic::parse(format!("$aws/things/t{thing}/shadow/name/s{shadow}/update"))?;
            let document = crate::shadow::document(1);
            let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic, document) };
            gateway.hub().publish(message, Origin::Operator, None)?;
        }
        Ok(())
    };
    (0..THINGS).try_for_each(fill)?;
    gateway.shutdown();
    Ok(())
}

/// And the milliseconds until it answers.
fn start(folder: &Folder) -> Result<(Process, f64)> {
    let started = Instant::now();
    let process = folder.spawn()?;
    process.wait_until_running()?;
    Ok((process, started.elapsed().as_secs_f64() * 1e3))
}

struct Reconciled {
    took: Duration,
    status: ShadowsStatus,
    /// The most that was seen.
    memory: f64,
}

/// Waits until all are the same.
fn reconcile(process: &Process) -> Result<Reconciled> {
    let started = Instant::now();
    let mut client = process.connect()?;
    let mut memory = 0_u64;
    loop {
        memory = memory.max(pss(process.id()));
        let status = synced(&mut client)?;
        if status.states.get("in-sync") == Some(&((THINGS * SHADOWS) as u64)) {
            return Ok(Reconciled { took: started.elapsed(), status, memory: memory as f64 });
        }
        if started.elapsed() > PATIENCE {
            bail!("waited in vain: {status:?}");
        }
        std::thread::sleep(LOOK);
    }
}

fn synced(client: &mut Client) -> Result<ShadowsStatus> {
    match client.ask(&Ask::Status)? {
        Reply::Status(status) => Ok(status.clouds.into_values().find_map(|cloud| cloud.shadows).unwrap_or_default()),
        other => bail!("{other:?}"),
    }
}
