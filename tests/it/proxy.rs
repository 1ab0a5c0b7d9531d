//! A TCP proxy that breaks connections in the ways networks do, and counts what it broke.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::app::eventually;

const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way while they are delayed. Beyond: the sender waits, as with a full pipe.
const CHUNKS_MAX: usize = 256;

pub struct Proxy {
    /// Where clients connect.
    pub addr: SocketAddr,
    weather: watch::Sender<Weather>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Default)]
struct Weather {
    /// Added to each direction.
    delay: Duration,
    /// Nothing is forwarded and nothing is closed; what was sent meanwhile waits.
    is_half_open: bool,
    /// Connections of an earlier one are reset.
    resets: u64,
}

/// What it did so far: a fault test asserts that its fault happened.
#[derive(Debug, Default)]
pub struct Counts {
    pub connections: AtomicU64,
    pub chunks: AtomicU64,
    pub delayed_chunks: AtomicU64,
    pub reset_connections: AtomicU64,
    /// Times that bytes stood still on a half-open connection.
    pub stalls: AtomicU64,
}

impl Proxy {
    pub async fn start(upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let (weather, seen) = watch::channel(Weather::default());
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn(accept(listener, upstream.to_owned(), seen, counts.clone()));
        Proxy { addr, weather, counts, accepting }
    }

    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Resets every open connection, on both sides; new ones are served.
    pub fn reset(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// From now on nothing passes, on old and new connections, and neither side is told.
    pub fn half_open(&self) {
        self.weather.send_modify(|weather| weather.is_half_open = true);
    }

    /// Fair weather: what stood still goes on.
    pub fn heal(&self) {
        self.weather.send_modify(|weather| *weather = Weather { resets: weather.resets, ..Weather::default() });
    }

    pub fn count(&self, which: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        which(&self.counts).load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Its connections end with it.
async fn accept(listener: TcpListener, upstream: String, weather: watch::Receiver<Weather>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("accepts");
        add(&counts.connections);
        connections.spawn(serve(client, upstream.clone(), weather.clone(), counts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, upstream: String, mut weather: watch::Receiver<Weather>, counts: Arc<Counts>) {
    let resets = weather.borrow().resets;
    // An upstream that is down looks like one that hangs up.
    let Ok(mut server) = TcpStream::connect(&upstream).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("an option");
    }
    let is_reset = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pump(from_client, to_server, weather.clone(), &counts);
        let back = pump(from_server, to_client, weather.clone(), &counts);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            changed = weather.wait_for(|now| now.resets > resets) => changed.is_ok(),
        }
    };
    if is_reset {
        add(&counts.reset_connections);
        for stream in [&client, &server] {
            stream.set_zero_linger().expect("an option");
        }
    }
}

/// One direction, until its end is passed on or a side is gone.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: watch::Receiver<Weather>,
    counts: &Counts,
) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let reading = weather.clone();
    let mut writing = weather;
    let read = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = from.read(&mut buffer).await.unwrap_or(0);
            let delay = reading.borrow().delay;
            if length == 0 || queue.send((Instant::now() + delay, buffer[..length].to_vec())).await.is_err() {
                return;
            }
            add(&counts.chunks);
            if !delay.is_zero() {
                add(&counts.delayed_chunks);
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            if writing.borrow().is_half_open {
                add(&counts.stalls);
            }
            let is_fair = writing.wait_for(|now| !now.is_half_open).await.is_ok();
            if !is_fair || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // An end does not pass a half-open link either.
        let _ = writing.wait_for(|now| !now.is_half_open).await;
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[tokio::test]
async fn it_delays_stalls_resets_and_heals() {
    let upstream = crate::servers::redis().strip_prefix("redis://").expect("a URL without a password");
    let proxy = Proxy::start(upstream).await;
    let mut client = TcpStream::connect(proxy.addr).await.expect("connects");
    ping(&mut client).await.expect("answers");

    proxy.delay(Duration::from_millis(40));
    let began = Instant::now();
    ping(&mut client).await.expect("answers");
    assert!(began.elapsed() >= Duration::from_millis(80), "both ways: {:?}", began.elapsed());
    assert_eq!(proxy.count(|c| &c.delayed_chunks), 2);

    proxy.heal();
    proxy.half_open();
    let mut newcomer = TcpStream::connect(proxy.addr).await.expect("connects");
    for client in [&mut client, &mut newcomer] {
        tokio::time::timeout(Duration::from_millis(100), ping(client)).await.expect_err("nothing passes");
    }
    eventually("both stand still", async || proxy.count(|c| &c.stalls) == 2).await;
    proxy.heal();
    for client in [&mut client, &mut newcomer] {
        answer(client).await.expect("the answer to what stood still");
    }

    proxy.reset();
    for client in [&mut client, &mut newcomer] {
        let error = answer(client).await.expect_err("is cut");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(proxy.count(|c| &c.reset_connections), 2);
    let mut client = TcpStream::connect(proxy.addr).await.expect("connects");
    ping(&mut client).await.expect("answers");
    assert_eq!(proxy.count(|c| &c.connections), 3);
    assert!(proxy.count(|c| &c.chunks) >= 10);
}

async fn ping(client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(b"PING\r\n").await?;
    answer(client).await
}

async fn answer(client: &mut TcpStream) -> std::io::Result<()> {
    let mut answer = [0; 7];
    client.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"+PONG\r\n");
    Ok(())
}
