//! Lines in, lines out, within their bounds.

use std::io;

use edgewit_domain::control::Reply;
use edgewit_domain::limits::CONTROL_LINE_BYTES;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Text(Vec<u8>),
    /// Longer than a line may be; where the next one begins is not looked for.
    TooLong,
    /// The other side has hung up.
    End,
}

pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let most = CONTROL_LINE_BYTES as u64;
    from.take(most + 1).read_until(b'\n', &mut line).await?;
    Ok(match line.last() {
        None => Line::End,
        _ if line.len() as u64 > most => Line::TooLong,
        _ => Line::Text(line),
    })
}

pub(super) fn encode(reply: &Reply) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    Ok(line)
}

pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), reply: &Reply) -> io::Result<()> {
    to.write_all(&encode(reply)?).await
}

/// Sends what was written; without it, the last lines may stay here.
pub(super) async fn flush(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &[u8], expected: &[Line]) {
        let mut from = input;
        for line in expected {
            assert_eq!(read(&mut from).await.unwrap(), *line);
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_the_end_is_told_from_an_empty_line() {
        check(b"", &[Line::End]).await;
        check(b"a\n\nb", &[Line::Text(b"a\n".into()), Line::Text(b"\n".into()), Line::Text(b"b".into()), Line::End])
            .await;
        let mut longest = vec![b'x'; CONTROL_LINE_BYTES - 1];
        longest.push(b'\n');
        check(&longest, &[Line::Text(longest.clone()), Line::End]).await;
        longest.insert(0, b'x');
        check(&longest, &[Line::TooLong]).await;
    }
}
