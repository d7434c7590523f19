//! Sockets: accept, cut the stream into frames, answer them in order.
//!
//! A connection is one task: it reads a frame, answers it, writes the answer, reads the next. So
//! responses come in the order of requests, as the protocol wants, a client that does not read
//! holds up only itself, and a connection needs memory for one request and one response. A frame
//! that is too long or makes no sense ends its connection and no other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::request;
use crate::state::Shared;

/// Frames that carry records may hold several partitions' batches.
const MAX_PRODUCE_FRAME_BYTES: usize = 64 * 1024 * 1024;
/// No other request needs more.
const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Space reserved before the bytes are there; a frame grows as its bytes arrive.
const READ_BYTES: usize = 64 * 1024;
/// How long connections may finish what they are writing when the broker stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until the broker stops, then waits for those that are answering.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut stopping = shared.stopping.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    match serve(stream, &shared).await {
                        Ok(()) => debug!(%peer, "connection closed"),
                        Err(e) => debug!(%peer, "connection ended: {e}"),
                    }
                });
            }
            Err(e) => {
                // Out of descriptors, mostly: the ones in use must end first.
                warn!("cannot accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stopping = shared.stopping.subscribe();
    let mut buffer = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut stream, &mut buffer) => frame?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let Some(frame) = frame else {
            return Ok(());
        };
        match request::answer(shared, frame).await {
            Ok(Some(response)) => stream.write_all(&response).await?,
            Ok(None) => {}
            Err(refused) => {
                warn!(peer = ?stream.peer_addr().ok(), "connection closed: {refused}");
                return Ok(());
            }
        }
    }
}

/// The next frame without its length; `None` if the client closed the connection between frames.
async fn read_frame(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
    loop {
        if let Some(length) = frame_length(buffer)?
            && buffer.len() >= 4 + length
        {
            buffer.advance(4);
            return Ok(Some(buffer.split_to(length).freeze()));
        }
        // Never by the claimed length alone: at most twice what has come, so that a lie costs
        // nothing and a true large frame is copied few times.
        buffer.reserve(READ_BYTES.max(buffer.len()));
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// The length of the frame at the head of the buffer, once it and the API key are there.
fn frame_length(buffer: &[u8]) -> io::Result<Option<usize>> {
    let Some(length) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let api_key = buffer.get(4..).and_then(|b| b.first_chunk::<2>());
    let may_be_produce = api_key.is_none_or(|k| i16::from_be_bytes(*k) == ApiKey::Produce as i16);
    let limit = if may_be_produce { MAX_PRODUCE_FRAME_BYTES } else { MAX_FRAME_BYTES };
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(Some(length)),
        _ => {
            warn!("connection closed: a frame claims {length} bytes, the limit is {limit}");
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_lengths_are_checked_as_soon_as_they_are_known() {
        let with = |length: i32, key: &[u8]| {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend(key);
            frame_length(&bytes).map_err(|e| e.kind())
        };
        assert_eq!(frame_length(&[0, 0, 0]).unwrap(), None);
        assert_eq!(with(100, &[]), Ok(Some(100)));
        assert_eq!(with(-1, &[]), Err(io::ErrorKind::InvalidData));
        assert_eq!(with(i32::MAX, &[]), Err(io::ErrorKind::InvalidData));
        let large = MAX_FRAME_BYTES as i32 + 1;
        assert_eq!(with(large, &[0, 0]), Ok(Some(large as usize)), "produce");
        assert_eq!(with(large, &[0, 1]), Err(io::ErrorKind::InvalidData), "fetch");
    }
}
