//! An HTTP proxy's `CONNECT`: one question, one answer, then the stream is ours.

use std::io;

use edgewit_domain::limits::PROXY_ANSWER_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::ConnectError;
use crate::tcp::Stream;

/// `target` is host and port as they stand in an address.
pub(super) async fn connect(stream: &mut impl Stream, target: &str) -> Result<(), ConnectError> {
    let question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(question.as_bytes()).await.map_err(ConnectError::ProxyIo)?;
    stream.flush().await.map_err(ConnectError::ProxyIo)?;
    let mut head = Vec::new();
    // Nobody speaks after the head until we do, but what comes after it would be the stream's, so none may be taken.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_ANSWER_BYTES {
            return Err(ConnectError::ProxyIo(io::Error::new(io::ErrorKind::InvalidData, "its answer has no end")));
        }
        head.push(stream.read_u8().await.map_err(ConnectError::ProxyIo)?);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(ConnectError::ProxyRefused { line }),
    }
}
