//! A faulty network: a TCP proxy that delays, black-holes and resets connections,
//! and cuts them right before an acknowledgement, so that the server has committed
//! and the client does not know.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chat_client::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running proxy, which ends when this value is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    faults: watch::Sender<Faults>,
    task: JoinHandle<()>,
}

/// The shares of connections with each fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    pub(crate) delayed: f64,
    pub(crate) black_holed: f64,
    pub(crate) reset: f64,
    pub(crate) acks_dropped: f64,
    /// Faults happen within this time after the start of the connection.
    pub(crate) within: Duration,
}

/// What the proxy did.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicUsize,
    pub(crate) black_holed: AtomicUsize,
    pub(crate) reset: AtomicUsize,
    /// Acknowledgements that the server wrote and no client received.
    pub(crate) acks_dropped: AtomicUsize,
}

impl Faults {
    pub(crate) const NONE: Self =
        Self { delayed: 0.0, black_holed: 0.0, reset: 0.0, acks_dropped: 0.0, within: Duration::ZERO };
    /// Some faults of each kind.
    pub(crate) const MIXED: Self = Self {
        delayed: 0.2,
        black_holed: 0.05,
        reset: 0.2,
        acks_dropped: 0.25,
        within: Duration::from_secs(4),
    };
}

/// The fault of a connection.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Healthy,
    Delayed(Duration),
    BlackHoled { after: Duration },
    Reset { after: Duration },
    AcksDropped { after: usize },
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, faults: Faults, seed: u64) -> io::Result<Self> {
        Self::to_any(vec![server], faults, seed).await
    }

    /// In front of several servers: each connection is one to any of them.
    pub(crate) async fn to_any(servers: Vec<SocketAddr>, faults: Faults, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::<Counts>::default();
        let (faults, changes) = watch::channel(faults);
        let task = tokio::spawn(accept(listener, servers, changes, Arc::clone(&counts), seed));
        Ok(Self { address, counts, faults, task })
    }

    /// Ends all faults; connections with a fault are reset.
    pub(crate) fn stop_faults(&self) {
        self.faults.send_replace(Faults::NONE);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    servers: Vec<SocketAddr>,
    faults: watch::Receiver<Faults>,
    counts: Arc<Counts>,
    seed: u64,
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let mut rng = Rng::for_part(seed, number);
        let fate = fate(*faults.borrow(), &mut rng);
        let server = servers[rng.index(servers.len())];
        counts.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connection(client, server, fate, rng, faults.clone(), Arc::clone(&counts)));
    }
}

fn fate(faults: Faults, rng: &mut Rng) -> Fate {
    let Faults { delayed, black_holed, reset, acks_dropped, within } = faults;
    let within_ms = within.as_millis() as u64;
    let after = rng.milliseconds(0..within_ms);
    let mut share = rng.fraction();
    let mut is = |part: f64| {
        share -= part;
        share < 0.0
    };
    if is(delayed) {
        Fate::Delayed(rng.milliseconds(1..60))
    } else if is(black_holed) {
        Fate::BlackHoled { after }
    } else if is(reset) {
        Fate::Reset { after }
    } else if is(acks_dropped) {
        Fate::AcksDropped { after: rng.index(8) }
    } else {
        Fate::Healthy
    }
}

async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    fate: Fate,
    mut rng: Rng,
    mut faults: watch::Receiver<Faults>,
    counts: Arc<Counts>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return reset(client) };
    // Without it only the timing changes.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (up, down) = match fate {
            Fate::Delayed(max) => (Some(max), Some(max)),
            _ => (None, None),
        };
        let drop_after = match fate {
            Fate::AcksDropped { after } => Some(after),
            _ => None,
        };
        let mut other = Rng::for_part(rng.next_u64(), 1);
        let copied = async {
            tokio::select! {
                () = copy(&mut from_client, &mut to_server, up, &mut rng, None, &counts) => {}
                () = copy(&mut from_server, &mut to_client, down, &mut other, drop_after, &counts) => {}
            }
        };
        let cut = async {
            match fate {
                Fate::BlackHoled { after } | Fate::Reset { after } => tokio::time::sleep(after).await,
                _ => std::future::pending().await,
            }
        };
        let faults_stopped = async {
            let is_healthy = matches!(fate, Fate::Healthy);
            if is_healthy || faults.wait_for(|faults| *faults == Faults::NONE).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(faults_stopped);
        tokio::select! {
            () = copied => {}
            () = &mut faults_stopped => {}
            () = cut => match fate {
                Fate::BlackHoled { .. } => {
                    counts.black_holed.fetch_add(1, Ordering::Relaxed);
                    // Both ends stay open, and nothing is copied.
                    tokio::select! {
                        () = tokio::time::sleep(BLACK_HOLE) => {}
                        () = faults_stopped => {}
                    }
                }
                _ => drop(counts.reset.fetch_add(1, Ordering::Relaxed)),
            },
        }
    }
    reset(client);
    reset(server);
}

/// Copies bytes until an end is closed, or up to the acknowledgement that is dropped.
async fn copy(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    delay: Option<Duration>,
    rng: &mut Rng,
    drop_after: Option<usize>,
    counts: &Counts,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut acks = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        if let Some(after) = drop_after {
            // The server's frames are not masked, so acknowledgements can be found.
            let here: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(ACK)).collect();
            if let Some(first) = here.get(after - acks) {
                // The cut is in the middle of the frame. A write error means that the
                // client is gone, which is as good.
                let _ = to.write_all(&bytes[..*first]).await;
                counts.acks_dropped.fetch_add(here.len() - (after - acks), Ordering::Relaxed);
                return;
            }
            acks += here.len();
        }
        if let Some(max) = delay {
            tokio::time::sleep(rng.milliseconds(0..max.as_millis() as u64)).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Closes a connection by a reset.
fn reset(stream: TcpStream) {
    // On an error it is closed normally, which is as good a test.
    let _ = stream.set_zero_linger();
}

const ACK: &[u8] = b"\"type\":\"ack\"";
/// How long a black hole lasts: longer than a client waits.
const BLACK_HOLE: Duration = Duration::from_secs(10);
