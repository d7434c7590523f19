//! Sockets: accept, cut the stream into frames, answer them in order.
//!
//! A connection is one task: it reads a frame, answers it, writes the answer, reads the next. So
//! responses come in the order of requests, as the protocol wants, a client that does not read
//! holds up only itself, and a connection needs memory for one request and one response. A frame
//! that is too long or makes no sense ends its connection and no other.
//!
//! All connections together have [`LARGE_FRAMES_BYTES`] for frames past [`READ_BYTES`]. Such a frame is
//! read once its whole length is reserved there, so frames never wait for each other half read, and
//! one that does not arrive within [`FRAME_TIME`] gives its space back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
/// For the large frames of all connections, from their first byte until they are answered.
const LARGE_FRAMES_BYTES: usize = 256 * 1024 * 1024;
/// In which a large frame has to arrive, from when its space was reserved.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// How long connections may finish what they are writing when the broker stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until the broker stops, then waits for those that are answering.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut stopping = shared.stopping.subscribe();
    let mut connections = JoinSet::new();
    let large = LargeFrames::new(LARGE_FRAMES_BYTES, FRAME_TIME);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (shared, large) = (Arc::clone(&shared), large.clone());
                connections.spawn(async move {
                    match serve(stream, &shared, &large).await {
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

/// What all connections together may hold of frames past [`READ_BYTES`].
#[derive(Clone)]
struct LargeFrames {
    /// A permit a byte.
    space: Arc<Semaphore>,
    /// In which a frame has to arrive once it has its space.
    time: Duration,
}

impl LargeFrames {
    fn new(bytes: usize, time: Duration) -> LargeFrames {
        LargeFrames { space: Arc::new(Semaphore::new(bytes)), time }
    }

    /// Waits until the large frames of all connections leave room for one more.
    async fn reserve(&self, length: usize) -> io::Result<OwnedSemaphorePermit> {
        let permits = u32::try_from(length).map_err(io::Error::other)?;
        Arc::clone(&self.space).acquire_many_owned(permits).await.map_err(io::Error::other)
    }
}

async fn serve(mut stream: TcpStream, shared: &Arc<Shared>, large: &LargeFrames) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stopping = shared.stopping.subscribe();
    let mut buffer = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut stream, &mut buffer, large) => frame?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        // The space is held until the frame is answered.
        let Some((frame, _reserved)) = frame else {
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

/// The next frame without its length, with the space that a large one has; `None` if the client closed the
/// connection between frames.
async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    large: &LargeFrames,
) -> io::Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>> {
    let length = loop {
        match frame_length(buffer)? {
            // The key is there, or the frame is too short to have one.
            Some(length) if buffer.len() >= 4 + length.min(2) => break length,
            _ if read_more(stream, buffer).await? => {}
            _ if buffer.is_empty() => return Ok(None),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let reserved = if length > READ_BYTES { Some(large.reserve(length).await?) } else { None };
    let whole = async {
        while buffer.len() < 4 + length {
            if !read_more(stream, buffer).await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(())
    };
    if reserved.is_some() {
        tokio::time::timeout(large.time, whole).await.map_err(|_| too_slow(length))??;
    } else {
        whole.await?;
    }
    buffer.advance(4);
    Ok(Some((buffer.split_to(length).freeze(), reserved)))
}

fn too_slow(length: usize) -> io::Error {
    warn!("connection closed: a frame of {length} bytes did not arrive in time");
    io::ErrorKind::TimedOut.into()
}

/// Whether bytes came; otherwise the client has closed its side.
async fn read_more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<bool> {
    // Never by the claimed length alone: at most twice what has come, so that a lie costs nothing and a
    // true large frame is copied few times.
    buffer.reserve(READ_BYTES.max(buffer.len()));
    Ok(stream.read_buf(buffer).await? > 0)
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

    /// A connection whose client has sent `length` as the length of a Produce request and `sent` bytes of it.
    async fn sent(length: usize, sent: usize) -> (tokio::io::DuplexStream, tokio::io::DuplexStream) {
        let (mut client, server) = tokio::io::duplex(1024 * 1024);
        client.write_all(&(length as u32).to_be_bytes()).await.unwrap();
        client.write_all(&vec![0; sent]).await.unwrap();
        (client, server)
    }

    #[tokio::test]
    async fn large_frames_share_their_space_and_a_slow_one_gives_it_back() {
        let large = LargeFrames::new(300_000, Duration::from_millis(300));
        let (_stalled, mut server) = sent(200_000, 100_000).await;
        let stalled = tokio::spawn({
            let large = large.clone();
            async move { read_frame(&mut server, &mut BytesMut::new(), &large).await.map(|_| ()) }
        });
        while large.space.available_permits() == 300_000 {
            tokio::task::yield_now().await;
        }
        // A small frame needs none of it.
        let (_client, mut server) = sent(1_000, 1_000).await;
        let small = read_frame(&mut server, &mut BytesMut::new(), &large).await.unwrap();
        assert!(small.is_some_and(|(frame, reserved)| frame.len() == 1_000 && reserved.is_none()));
        // A second large one is read when the first has been given up.
        let (_client, mut server) = sent(150_000, 150_000).await;
        let second = read_frame(&mut server, &mut BytesMut::new(), &large).await.unwrap().unwrap();
        assert_eq!(second.0.len(), 150_000);
        assert_eq!(stalled.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(large.space.available_permits(), 150_000);
        drop(second);
        assert_eq!(large.space.available_permits(), 300_000);
    }

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
