//! A TCP relay whose way can be cut, slowed and led elsewhere: the network between a server and its
//! database or its bus. What is on the way during a cut arrives after it, as TCP repeats what a network
//! loses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A running relay, which ends when this value is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    to: SocketAddr,
    is_cut: bool,
    /// For each piece that is carried, in both directions.
    delay: Duration,
}

impl Relay {
    pub(crate) async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (way, changes) = watch::channel(Way { to, is_cut: false, delay: Duration::ZERO });
        let task = tokio::spawn(accept(listener, changes));
        Ok(Self { address, way, task })
    }

    /// Carries nothing any more, in either direction, and closes nothing.
    pub(crate) fn cut(&self) {
        self.way.send_modify(|way| way.is_cut = true);
    }

    /// Carries each piece after this time.
    pub(crate) fn slow(&self, delay: Duration) {
        self.way.send_modify(|way| way.delay = delay);
    }

    /// Ends [`cut`](Self::cut) and [`slow`](Self::slow).
    pub(crate) fn heal(&self) {
        self.way.send_modify(|way| (way.is_cut, way.delay) = (false, Duration::ZERO));
    }

    /// Leads to another address; connections to the old one are reset.
    pub(crate) fn lead_to(&self, to: SocketAddr) {
        self.way.send_modify(|way| way.to = to);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(connections.spawn(connection(client, way.clone()))),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, mut way: watch::Receiver<Way>) {
    let Ok(to) = way.wait_for(|way| !way.is_cut).await.map(|way| way.to) else { return };
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    // Without it only the timing changes.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (up, down) = (way.clone(), way.clone());
    tokio::select! {
        () = carry(&mut from_client, &mut to_server, up) => {}
        () = carry(&mut from_server, &mut to_client, down) => {}
        _ = way.wait_for(|way| way.to != to) => {}
    }
}

async fn carry(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let delay = way.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if way.wait_for(|way| !way.is_cut).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
