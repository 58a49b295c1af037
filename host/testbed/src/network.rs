//! A network that does what networks do, one mood at a time, between the link and its broker.

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::Port;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nobody listens.
    Refuse,
    /// What stands is reset, and so is what comes.
    Reset,
    /// Nothing moves, and nobody hears of it.
    Stall,
    /// A few bytes now and then.
    Slow,
    /// Byte by byte, as fast as it goes.
    Slice,
}

/// What may not pass, once it was said.
type Forbidden = Arc<OnceLock<Vec<u8>>>;

pub struct Network {
    pub port: u16,
    _port: Port,
    mood: Arc<watch::Sender<Mood>>,
    forbidden: Forbidden,
    task: JoinHandle<()>,
}

impl Network {
    pub async fn new(target: u16) -> Network {
        let held = Port::hold();
        let port = held.number;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (mood, _) = watch::channel(Mood::Well);
        let mood = Arc::new(mood);
        let forbidden = Forbidden::default();
        let task = tokio::spawn(serve(listener, port, target, mood.clone(), forbidden.clone()));
        Network { port, _port: held, mood, forbidden, task }
    }

    /// From now on a line is reset on which this text goes to the target, as by a broker that closes the connection on
    /// what its policy forbids. Of TLS nothing can be read here.
    pub fn forbid(&self, text: &str) {
        self.forbidden.set(text.as_bytes().to_vec()).unwrap();
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, port: u16, target: u16, mood: Arc<watch::Sender<Mood>>, forbidden: Forbidden) {
    let mut listener = Some(listener);
    let mut changes = mood.subscribe();
    let mut lines = JoinSet::new();
    loop {
        let now = *changes.borrow_and_update();
        if matches!(now, Mood::Refuse | Mood::Reset) {
            lines.abort_all();
        }
        if now == Mood::Refuse {
            listener = None;
            changes.changed().await.unwrap();
            continue;
        }
        if listener.is_none() {
            listener = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap());
        }
        tokio::select! {
            accepted = listener.as_ref().unwrap().accept() => {
                let (near, _) = accepted.unwrap();
                // A line that is cut is reset, not closed.
                near.set_zero_linger().unwrap();
                if now != Mood::Reset {
                    lines.spawn(line(near, target, mood.subscribe(), forbidden.clone()));
                }
            }
            _ = changes.changed() => {}
        }
    }
}

async fn line(near: TcpStream, target: u16, mood: watch::Receiver<Mood>, forbidden: Forbidden) {
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
    far.set_zero_linger().unwrap();
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let ends = Notify::new();
    let guard = Guard { forbidden, ends: &ends, passed: Vec::new() };
    let both = async {
        tokio::join!(carry(near_read, far_write, mood.clone(), Some(guard)), carry(far_read, near_write, mood, None))
    };
    tokio::select! {
        _ = both => {}
        () = ends.notified() => {}
    }
}

/// Lets through what is not forbidden.
struct Guard<'a> {
    forbidden: Forbidden,
    ends: &'a Notify,
    /// The end of what passed: the text may come in pieces.
    passed: Vec<u8>,
}

impl Guard<'_> {
    fn permits(&mut self, bytes: &[u8]) -> bool {
        let Some(text) = self.forbidden.get() else { return true };
        self.passed.extend_from_slice(bytes);
        if self.passed.windows(text.len()).any(|window| window == text) {
            self.ends.notify_one();
            return false;
        }
        let kept = self.passed.len().min(text.len() - 1);
        self.passed.drain(..self.passed.len() - kept);
        true
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mood: watch::Receiver<Mood>,
    mut guard: Option<Guard<'_>>,
) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let mut buffer = [0; 16 * 1024];
    loop {
        let most = match *mood.borrow() {
            Mood::Slice => 1,
            Mood::Slow => 512,
            _ => buffer.len(),
        };
        let count = match from.read(&mut buffer[..most]).await {
            Ok(0) | Err(_) => {
                let _ = to.shutdown().await;
                return;
            }
            Ok(count) => count,
        };
        if mood.wait_for(|mood| *mood != Mood::Stall).await.is_err() {
            return;
        }
        if *mood.borrow() == Mood::Slow {
            pace.tick().await;
        }
        if guard.as_mut().is_some_and(|guard| !guard.permits(&buffer[..count])) {
            // Whoever holds both ends resets them.
            return pending().await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
