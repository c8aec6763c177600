//! A network that is not to be relied upon: a TCP proxy that delays,
//! black-holes, resets, and cuts connections right behind what the server
//! acknowledged, so that only the client does not know.

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

/// Ended with this value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
    faults: watch::Sender<Faults>,
    task: JoinHandle<()>,
}

/// Which share of the connections has which fate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    pub(crate) delayed: f64,
    pub(crate) black_holed: f64,
    pub(crate) reset: f64,
    pub(crate) acks_dropped: f64,
    /// After this long or less, a fate that is to come does.
    pub(crate) within: Duration,
}

/// What the proxy did.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicUsize,
    pub(crate) black_holed: AtomicUsize,
    pub(crate) reset: AtomicUsize,
    /// Acknowledgements that the server wrote and nobody got.
    pub(crate) acks_dropped: AtomicUsize,
}

impl Faults {
    pub(crate) const NONE: Self =
        Self { delayed: 0.0, black_holed: 0.0, reset: 0.0, acks_dropped: 0.0, within: Duration::ZERO };
    /// Of everything a bit.
    pub(crate) const MIXED: Self = Self {
        delayed: 0.2,
        black_holed: 0.05,
        reset: 0.2,
        acks_dropped: 0.25,
        within: Duration::from_secs(4),
    };
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Fair,
    Delayed(Duration),
    BlackHoled { after: Duration },
    Reset { after: Duration },
    AcksDropped { after: usize },
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, faults: Faults, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::<Counts>::default();
        let (faults, changes) = watch::channel(faults);
        let task = tokio::spawn(accept(listener, server, changes, Arc::clone(&counts), seed));
        Ok(Self { address, counts, faults, task })
    }

    /// From now on nothing happens to anybody; connections with another fate
    /// before them are reset.
    pub(crate) fn calm(&self) {
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
    server: SocketAddr,
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
        Fate::Fair
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
    // Only the time of things would be another.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (up, down) = match fate {
            Fate::Delayed(most) => (Some(most), Some(most)),
            _ => (None, None),
        };
        let drop_after = match fate {
            Fate::AcksDropped { after } => Some(after),
            _ => None,
        };
        let mut other = Rng::for_part(rng.next_u64(), 1);
        let carried = async {
            tokio::select! {
                () = carry(&mut from_client, &mut to_server, up, &mut rng, None, &counts) => {}
                () = carry(&mut from_server, &mut to_client, down, &mut other, drop_after, &counts) => {}
            }
        };
        let cut = async {
            match fate {
                Fate::BlackHoled { after } | Fate::Reset { after } => tokio::time::sleep(after).await,
                _ => std::future::pending().await,
            }
        };
        let calmed = async {
            let is_fair = matches!(fate, Fate::Fair);
            if is_fair || faults.wait_for(|faults| *faults == Faults::NONE).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(calmed);
        tokio::select! {
            () = carried => {}
            () = &mut calmed => {}
            () = cut => match fate {
                Fate::BlackHoled { .. } => {
                    counts.black_holed.fetch_add(1, Ordering::Relaxed);
                    // Both ends are open, and nothing moves.
                    tokio::select! {
                        () = tokio::time::sleep(HOLE) => {}
                        () = calmed => {}
                    }
                }
                _ => drop(counts.reset.fetch_add(1, Ordering::Relaxed)),
            },
        }
    }
    reset(client);
    reset(server);
}

/// Copies until an end is closed, or there are acknowledgements to lose.
async fn carry(
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
            // The server's frames are not masked: an acknowledgement can be seen.
            let here: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(ACK)).collect();
            if let Some(first) = here.get(after - acks) {
                // In the middle of it; a client that is gone misses nothing.
                let _ = to.write_all(&bytes[..*first]).await;
                counts.acks_dropped.fetch_add(here.len() - (after - acks), Ordering::Relaxed);
                return;
            }
            acks += here.len();
        }
        if let Some(most) = delay {
            tokio::time::sleep(rng.milliseconds(0..most.as_millis() as u64)).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Closed without a farewell.
fn reset(stream: TcpStream) {
    // Otherwise it is closed with one; both is to be tried.
    let _ = stream.set_zero_linger();
}

const ACK: &[u8] = b"\"type\":\"ack\"";
/// Longer than a client waits.
const HOLE: Duration = Duration::from_secs(10);
