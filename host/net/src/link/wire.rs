//! Packets on a stream: read one at a time whatever pieces they come in, written together.
//!
//! Both ends may be dropped in the middle of any wait and asked again: what was read or written so far is kept here.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use edgewit_domain::limits::LINK_PACKET_BYTES;
use edgewit_domain::link::Side;
use rumqttc::Packet;
use tokio::io::{AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};

use crate::tcp::Stream;

/// What is asked of the socket at once.
const READ: usize = 16 * 1024;

pub(super) enum Incoming {
    Packet(Packet),
    /// A message beyond [`LINK_PACKET_BYTES`], which was not kept. With an id it wants to be acknowledged.
    TooLarge {
        packet: Option<u16>,
        bytes: usize,
    },
}

pub(super) struct Reader {
    half: ReadHalf<Box<dyn Stream>>,
    buffer: BytesMut,
    /// Bytes of a packet to throw away as they come, and what to say of it then.
    skipping: Option<(usize, Incoming)>,
    read: u64,
}

impl Reader {
    pub fn new(half: ReadHalf<Box<dyn Stream>>) -> Reader {
        Reader { half, buffer: BytesMut::new(), skipping: None, read: 0 }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.read
    }

    /// The next packet. The far side's end is an error.
    pub async fn next(&mut self) -> io::Result<Incoming> {
        loop {
            if let Some(incoming) = self.buffered()? {
                return Ok(incoming);
            }
            self.buffer.reserve(READ);
            let count = self.half.read_buf(&mut self.buffer).await?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
            }
            self.read += count as u64;
        }
    }

    /// A packet that is there already.
    pub fn buffered(&mut self) -> io::Result<Option<Incoming>> {
        if let Some((left, _)) = &mut self.skipping {
            let count = self.buffer.len().min(*left);
            self.buffer.advance(count);
            *left -= count;
            if *left > 0 {
                return Ok(None);
            }
            return Ok(self.skipping.take().map(|(_, incoming)| incoming));
        }
        let Some(header) = Header::parse(&self.buffer)? else { return Ok(None) };
        if header.rest > LINK_PACKET_BYTES {
            let Some(packet) = header.packet_id(&self.buffer)? else { return Ok(None) };
            let bytes = header.length + header.rest;
            self.skipping = Some((bytes, Incoming::TooLarge { packet, bytes }));
            return self.buffered();
        }
        if self.buffer.len() < header.length + header.rest {
            return Ok(None);
        }
        let packet = Packet::read(&mut self.buffer, LINK_PACKET_BYTES).map_err(invalid)?;
        Ok(Some(Incoming::Packet(packet)))
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What every packet begins with.
struct Header {
    first: u8,
    length: usize,
    rest: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> io::Result<Option<Header>> {
        let Some((first, lengths)) = bytes.split_first() else { return Ok(None) };
        let mut rest = 0;
        for (place, byte) in lengths.iter().take(4).enumerate() {
            rest |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(Some(Header { first: *first, length: 2 + place, rest }));
            }
        }
        if lengths.len() < 4 { Ok(None) } else { Err(invalid("a packet's length has no end")) }
    }

    /// The id of a message that wants one, once enough of it is there.
    fn packet_id(&self, bytes: &[u8]) -> io::Result<Option<Option<u16>>> {
        if self.first >> 4 != 3 {
            return Err(invalid("a packet that is no message and too large"));
        }
        if self.first & 0b110 == 0 {
            return Ok(Some(None));
        }
        let pair = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let id = pair(self.length).and_then(|topic| pair(self.length + 2 + usize::from(topic)));
        Ok(id.map(Some))
    }
}

pub(super) struct Writer {
    half: WriteHalf<Box<dyn Stream>>,
    buffer: BytesMut,
    flushed: bool,
    /// The socket took nothing more.
    blocked: bool,
    written: u64,
}

impl Writer {
    pub fn new(half: WriteHalf<Box<dyn Stream>>) -> Writer {
        Writer { half, buffer: BytesMut::new(), flushed: true, blocked: false, written: 0 }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    pub fn push(&mut self, packet: &Packet) -> io::Result<()> {
        let length = packet.write(&mut self.buffer, usize::MAX).map_err(invalid)?;
        self.written += length as u64;
        self.flushed = false;
        Ok(())
    }

    pub fn is_idle(&self) -> bool {
        self.flushed
    }

    /// Brings everything out, or ends early with true where the socket took bytes that it had refused before: a sign
    /// that the far side lives.
    pub async fn drive(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_drive(cx)).await
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while !self.buffer.is_empty() {
            let Poll::Ready(count) = Pin::new(&mut self.half).poll_write(cx, &self.buffer) else {
                self.blocked = true;
                return Poll::Pending;
            };
            match count? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.buffer.advance(count),
            }
            if std::mem::take(&mut self.blocked) {
                return Poll::Ready(Ok(true));
            }
        }
        ready!(Pin::new(&mut self.half).poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(std::mem::take(&mut self.blocked)))
    }

    /// Everything out, and the stream closed.
    pub async fn finish(mut self) -> io::Result<()> {
        while !self.flushed {
            self.drive().await?;
        }
        poll_fn(|cx| Pin::new(&mut self.half).poll_shutdown(cx)).await
    }
}

/// Whether the far side ended the connection, and did not merely become unreachable.
pub(super) fn side_of(error: &io::Error) -> Side {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Side::Peer,
        _ => Side::Us,
    }
}
