//! Bytes that no client would send, and clients that do not behave.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::topic_partition_list::Offset;
use tidemill_broker::Broker;

use super::{Sender, WAIT, check, consumer, create, payloads, read, start};

/// A request for metadata of all topics (version 1), as bytes.
const METADATA: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    stream
}

fn answers(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn bad_bytes_end_their_connection_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    let mut good = connect(&broker);
    let bad: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0x7f, 0xff, 0xff, 0xff, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0],
        &[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        // Metadata of 2^31 - 1 topics.
        &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
    ];
    for bytes in bad {
        let mut stream = connect(&broker);
        stream.write_all(bytes).unwrap();
        let closed = stream.read(&mut [0; 16]);
        // Closed with bytes unread is a reset.
        assert!(matches!(closed, Ok(0)) || closed.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    }
    let mut half = connect(&broker);
    half.write_all(&METADATA[..9]).unwrap();
    drop(half);
    // Several requests in one write, one cut in two: answers come in order.
    let mut bytes = [METADATA; 3].concat();
    bytes[18 + 11] = 10;
    bytes[36 + 11] = 11;
    good.write_all(&bytes[..40]).unwrap();
    assert_eq!((answers(&mut good)[3], answers(&mut good)[3]), (9, 10));
    good.write_all(&bytes[40..]).unwrap();
    assert_eq!(answers(&mut good)[3], 11);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_connections_and_one_that_does_not_read_hold_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start(dir.path()).await;
    create(&broker, "t", 200).await;
    // More answers than the sockets' buffers hold, none of them read.
    let mut deaf = connect(&broker);
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let flood = METADATA.repeat(1000);
    while deaf.write_all(&flood).is_ok() {}
    let mut many: Vec<TcpStream> = (0..200).map(|_| connect(&broker)).collect();
    for stream in &mut many {
        stream.write_all(&METADATA).unwrap();
    }
    for stream in &mut many {
        assert!(answers(stream).len() > 200 * 26);
    }
    let sent = payloads(100, 100);
    Sender::new(&broker, &[]).send("t", 7, &sent);
    check(&read(&consumer(&broker, &[]), "t", 7, Offset::Beginning), &sent);
    broker.shutdown().await.unwrap();
}
