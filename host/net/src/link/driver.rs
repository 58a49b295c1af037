//! The task of one link: carries out the machine's effects and tells it what happens.
//!
//! One loop, one `select`, every branch of which may be dropped and asked again. What the machine wants is done before
//! the next wait begins, so that its picture and the socket never differ by more than the bytes under way.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::link::{Effect, Input, Link, Settings, Side, Why};
use rumqttc::{Packet, PubAck, QoS, Subscribe, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::dial::{self, ConnectError, Opened};
use super::inbound::{Committed, Inbound};
use super::outbound::{LinkError, Outbound, Settled};
use super::waits::{or_never, random, ready, within};
use super::wire::{Incoming, Reader, Writer, side_of};
use super::{BoxFuture, Material, NotStored, Plan, Status, Trouble};

/// Names being resolved at once: one attempt's, and one that was given up and cannot be cancelled.
const LOOKUPS: usize = 2;
/// Time for a goodbye to a broker that may not listen any more.
const GOODBYE: Duration = Duration::from_secs(1);

/// Ends a link: it waits a moment for what it is owed and says goodbye. Dropping it does the same.
pub struct Stop(watch::Sender<bool>);

impl Stop {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A link as its operator holds it, and as the one task that has to be run.
pub fn run(plan: Plan) -> (Stop, watch::Receiver<Status>, impl Future<Output = Result<(), LinkError>> + Send) {
    let (stop, stopped) = watch::channel(false);
    let (driver, status) = Driver::new(plan, stopped);
    (Stop(stop), status, driver.run())
}

struct Connection {
    reader: Reader,
    writer: Writer,
    material: Material,
}

type Opening = BoxFuture<Result<Opened, ConnectError>>;
type Looking = BoxFuture<Result<dial::Loaded, ConnectError>>;

struct Driver {
    plan: Arc<Plan>,
    link: Link,
    connection: Option<Connection>,
    opening: Option<Opening>,
    /// Says goodbye to a connection that is no longer used.
    parting: Option<BoxFuture<()>>,
    /// Looks at the files from time to time.
    looking: Option<Looking>,
    outbound: Outbound,
    inbound: Inbound,
    lookups: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
    stopping: bool,
    ended: bool,
    /// The broker had lost the session since the downlink last heard that a connection stands.
    session_lost: bool,
    /// The downlink knows that a connection stands.
    is_up: bool,
    trouble: Option<Trouble>,
    /// Bytes of connections that have ended.
    bytes: [u64; 2],
    status: watch::Sender<Status>,
}

/// What the loop waits for.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it moves once")]
enum Happened {
    Stop,
    Woke,
    Opened(Result<Opened, ConnectError>),
    Parted,
    Looked(Result<dial::Loaded, ConnectError>),
    Read(io::Result<Incoming>),
    Written(io::Result<bool>),
    Ready(usize),
    Settled(Result<Settled, LinkError>),
    Committed(Result<Committed, NotStored>),
}

impl Driver {
    fn new(plan: Plan, stopped: watch::Receiver<bool>) -> (Driver, watch::Receiver<Status>) {
        let plan = Arc::new(plan);
        let link = Link::new(Settings {
            keep_alive: plan.keep_alive,
            backoff: plan.backoff,
            backoff_max: plan.backoff_max,
            rate: plan.rate,
            profile: plan.profile,
            rules: plan.uplinks.iter().map(|rule| (rule.name.clone(), rule.priority)).collect(),
            filters: plan.downlinks.len(),
        });
        let (inbound, outbound) = (Inbound::new(plan.clone()), Outbound::new(plan.clone()));
        let (status, receiver) = watch::channel(Status::new(plan.uplinks.len(), plan.downlinks.len()));
        let driver = Driver {
            plan,
            link,
            connection: None,
            opening: None,
            parting: None,
            looking: None,
            outbound,
            inbound,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            stopped,
            stopping: false,
            ended: false,
            session_lost: false,
            is_up: false,
            trouble: None,
            bytes: [0; 2],
            status,
        };
        (driver, receiver)
    }

    async fn run(mut self) -> Result<(), LinkError> {
        self.feed(Input::Start);
        while !self.ended {
            self.tell();
            self.show();
            let happened = self.wait().await;
            self.react(happened)?;
        }
        self.tell();
        self.show();
        self.outbound.finish().await
    }

    async fn wait(&mut self) -> Happened {
        let now = (self.plan.clock)();
        let wake = self.link.wake_at().map(|at| at.saturating_sub(now));
        let connected = self.connection.is_some();
        let readable = !self.inbound.is_full();
        let (mut reader, mut writer) = (None, None);
        if let Some(connection) = &mut self.connection {
            reader = Some(&mut connection.reader).filter(|_| readable);
            writer = Some(&mut connection.writer).filter(|writer| !writer.is_idle());
        }
        let (link, plan) = (&self.link, &self.plan);
        tokio::select! {
                    _ = self.stopped.wait_for(|stopped| *stopped), if !self.stopping => Happened::Stop,
                    () = within(wake) => Happened::Woke,
                    opened = or_never(&mut self.opening) => Happened::Opened(opened),
                    () = or_never(&mut self.parting) => Happened::Parted,
                    looked = or_never(&mut self.looking), if connected => Happened::Looked(looked),
                    read = async { match reader { Some(reader) => reader.next().await, None => pending().await } } => Happened::Read(read),
                    written = async { match writer { Some(writer) => writer.drive().await, None => pending().await } } => Happened::Written(written),
                    rule = ready(link, plan), if connected => Happened::Ready(rule),
        settled = self.outbound.settled(), if !self.outbound.is_idle() => Happened::Settled(settled),
                    committed = self.inbound.committed(), if !self.inbound.is_idle() => Happened::Committed(committed),
                }
    }

    fn react(&mut self, happened: Happened) -> Result<(), LinkError> {
        match happened {
            Happened::Stop => {
                self.stopping = true;
                self.feed(Input::Stop);
            }
            Happened::Woke => {
                // Silence is ours while we do not listen.
                if self.connection.is_some() && self.inbound.is_full() {
                    self.feed(Input::Heard);
                }
                self.feed(Input::Woke);
            }
            Happened::Opened(Ok(opened)) => self.opened(opened),
            Happened::Opened(Err(error)) => self.lost(Side::Peer, dial::in_full(&error)),
            Happened::Parted => self.lost_by_us(),
            Happened::Looked(looked) => self.looked(looked),
            Happened::Read(read) => self.read(read),
            Happened::Written(Ok(drained)) => {
                if drained {
                    self.feed(Input::Drained);
                }
            }
            Happened::Written(Err(error)) => self.lost(side_of(&error), dial::in_full(&error)),
            Happened::Ready(rule) => self.feed(Input::Ready { rule }),
            Happened::Settled(settled) => self.feed(match settled? {
                Settled::Removed { rule, count } => Input::Removed { rule, count },
                Settled::GivenUp { rule } => Input::GivenUp { rule },
            }),
            Happened::Committed(committed) => self.committed(committed.map_err(LinkError::Downlink)?),
        }
        Ok(())
    }

    fn opened(&mut self, opened: Opened) {
        let Opened { reader, writer, session_present, material } = opened;
        self.connection = Some(Connection { reader, writer, material });
        self.look_later();
        self.session_lost |= !session_present;
        self.feed(Input::Connected { session_present });
    }

    fn look_later(&mut self) {
        let plan = self.plan.clone();
        self.looking = Some(Box::pin(async move {
            sleep(plan.files_every).await;
            dial::load(plan).await
        }));
    }

    /// A file that is wrong or half written is no reason to give up a connection that stands.
    fn looked(&mut self, looked: Result<dial::Loaded, ConnectError>) {
        match looked {
            Ok(loaded) => {
                if self.connection.as_ref().is_some_and(|connection| connection.material != loaded.material) {
                    self.feed(Input::Renew);
                }
            }
            Err(error) => self.trouble(format!("the next connection will fail: {}", dial::in_full(&error))),
        }
        self.look_later();
    }

    /// One packet that was waited for, and those that came with it.
    fn read(&mut self, first: io::Result<Incoming>) {
        let mut next = first.map(Some);
        loop {
            match next {
                Ok(Some(incoming)) => self.incoming(incoming),
                Ok(None) => return,
                Err(error) => return self.lost(side_of(&error), dial::in_full(&error)),
            }
            if self.inbound.is_full() {
                return;
            }
            let Some(connection) = &mut self.connection else { return };
            next = connection.reader.buffered();
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        let connection = self.link.connections();
        match incoming {
            Incoming::Packet(Packet::PubAck(ack)) => self.feed(Input::Acknowledged { packet: ack.pkid }),
            Incoming::Packet(Packet::PingResp) => self.feed(Input::Heard),
            Incoming::Packet(Packet::SubAck(ack)) => {
                let granted = !ack.return_codes.contains(&SubscribeReasonCode::Failure);
                if !granted {
                    self.trouble("the broker refused a subscription; permit there what the downlinks name, and the shadows of synchronised things".into());
                }
                self.feed(Input::Subscribed { packet: ack.pkid, granted });
            }
            Incoming::Packet(Packet::Publish(publish)) if publish.qos != QoS::ExactlyOnce => {
                self.feed(Input::Heard);
                self.inbound.take(connection, publish);
            }
            Incoming::TooLarge { packet, bytes } => {
                self.feed(Input::Heard);
                self.trouble(format!("a message of {bytes} bytes from the cloud was too large and is gone"));
                self.inbound.unusable(connection, packet);
            }
            Incoming::Packet(other) => self.lost(Side::Us, format!("the broker sent what it may not: {other:?}")),
        }
    }

    fn committed(&mut self, (connection, packet): Committed) {
        if let Some(packet) = packet
            && connection == self.link.connections()
        {
            self.push(&Packet::PubAck(PubAck::new(packet)));
        }
    }

    fn push(&mut self, packet: &Packet) {
        let Some(connection) = &mut self.connection else { return };
        if let Err(error) = connection.writer.push(packet) {
            // The machine never asks for what cannot be a packet; the connection ends all the same.
            self.trouble(format!("a packet could not be made: {error}"));
        }
    }

    /// Steps the machine, and carries out what it wants until it wants nothing more.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = (self.plan.clock)();
            for effect in self.link.step(now, input) {
                inputs.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Connect => {
                self.opening = Some(Box::pin(dial::open(self.plan.clone(), self.lookups.clone())));
            }
            Effect::Subscribe { packet, filters } => {
                let rules = self.plan.downlinks.get(filters).unwrap_or_default();
                let filter = |rule: &super::DownlinkRule| {
                    SubscribeFilter::new(rule.filter.as_str().to_owned(), QoS::AtLeastOnce)
                };
                let mut subscribe = Subscribe::new_many(rules.iter().map(filter));
                subscribe.pkid = packet;
                self.push(&Packet::Subscribe(subscribe));
            }
            Effect::Fetch { rule, count, bytes } => {
                return Some(Input::Rows { rule, rows: self.outbound.take(rule, count, bytes) });
            }
            Effect::Send { rule, sequence, packet } => {
                if let Some(publish) = self.outbound.send(rule, sequence, packet) {
                    self.push(&Packet::Publish(publish));
                }
            }
            Effect::Ping => self.push(&Packet::PingReq),
            Effect::Close { goodbye, why } => self.close(goodbye, &why),
            Effect::PutBack { rule, sequences } => self.outbound.put_back(rule, sequences),
            Effect::Remove { rule, sequences } => self.outbound.remove(rule, sequences),
            Effect::GiveUp { rule, sequence, why } => self.outbound.give_up(rule, sequence, &why),
            Effect::End => {
                self.opening = None;
                self.ended = true;
            }
        }
        None
    }

    fn close(&mut self, goodbye: bool, why: &Why) {
        if !matches!(why, Why::Stopped | Why::Renewed) {
            self.trouble(why.to_string());
        }
        if goodbye {
            self.push(&Packet::Disconnect);
        }
        let writer = self.hang_up();
        self.parting = Some(Box::pin(async move {
            if let Some(writer) = writer.filter(|_| goodbye) {
                // Whether it was heard changes nothing.
                let _ = timeout(GOODBYE, writer.finish()).await;
            }
        }));
    }

    /// Reads no more from the connection there may be.
    fn hang_up(&mut self) -> Option<Writer> {
        self.looking = None;
        let connection = self.connection.take()?;
        let [read, written] = &mut self.bytes;
        *read += connection.reader.bytes();
        *written += connection.writer.bytes();
        Some(connection.writer)
    }

    fn lost(&mut self, by: Side, why: String) {
        self.trouble(why);
        self.hang_up();
        self.opening = None;
        self.feed(Input::Lost { by, jitter: random() });
    }

    fn lost_by_us(&mut self) {
        self.parting = None;
        self.feed(Input::Lost { by: Side::Us, jitter: random() });
    }

    fn trouble(&mut self, text: String) {
        self.trouble = Some(Trouble { at: (self.plan.clock)(), text });
    }

    /// Tells the downlink whether anything can come down.
    fn tell(&mut self) {
        let is_up = self.link.is_subscribed();
        match (self.is_up, is_up) {
            (false, true) => self.plan.downlink.up(!std::mem::take(&mut self.session_lost)),
            (true, false) => self.plan.downlink.down(),
            _ => {}
        }
        self.is_up = is_up;
    }

    /// Brings what others see up to date, and wakes them where it matters.
    fn show(&self) {
        let [mut read, mut written] = self.bytes;
        if let Some(connection) = &self.connection {
            read += connection.reader.bytes();
            written += connection.writer.bytes();
        }
        self.status.send_if_modified(|status| {
            (status.bytes_in, status.bytes_out) = (read, written);
            status.update(&self.link, &self.inbound, self.trouble.as_ref())
        });
    }
}
