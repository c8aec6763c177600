//! The beginning of a connection on a port with TLS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::tls::{self, TlsConfig, TlsStream};

/// The handshakes that are not over yet.
///
/// Each may hold some 70 KiB, most of it what the client has sent. At the limit, a new one
/// closes the oldest: a client that begins handshakes without ending them must not keep others out.
pub(crate) struct Handshakes {
    max: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What closes each, the oldest first.
    open: BTreeMap<u64, CancellationToken>,
    last_id: u64,
}

/// How a handshake ended without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client broke it off, or has no version or cipher in common with this server.
    Failed,
    /// The client took too long.
    TooLate,
    /// The client spoke HTTP without TLS, and was told so.
    WithoutTls,
    /// There were too many handshakes, and this was the oldest.
    Replaced,
}

impl Handshakes {
    /// No handshakes yet, and at most `max` at one time.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, state: Arc::default() }
    }

    /// Makes a TLS connection of a new one.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the connection is closed then.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        config: Arc<TlsConfig>,
        timeout: Duration,
    ) -> Result<TlsStream, Failure> {
        let place = self.enter();
        tokio::select! {
            ended = tokio::time::timeout(timeout, shake_hands(stream, config)) => {
                ended.unwrap_or(Err(Failure::TooLate))
            }
            () = place.close.cancelled() => Err(Failure::Replaced),
        }
    }

    fn enter(&self) -> Place {
        let close = CancellationToken::new();
        let mut state = lock(&self.state);
        if state.open.len() >= self.max
            && let Some((_, oldest)) = state.open.pop_first()
        {
            oldest.cancel();
        }
        state.last_id += 1;
        let id = state.last_id;
        state.open.insert(id, close.clone());
        Place { state: Arc::clone(&self.state), id, close }
    }
}

/// One handshake. Dropping it ends its count.
struct Place {
    state: Arc<Mutex<State>>,
    id: u64,
    close: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.state).open.remove(&self.id);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Each change is whole in one call.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn shake_hands(mut stream: TcpStream, config: Arc<TlsConfig>) -> Result<TlsStream, Failure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0].is_ascii_uppercase() => {
            tell_to_use_tls(&mut stream).await;
            return Err(Failure::WithoutTls);
        }
        Ok(1) => {}
        Ok(_) | Err(_) => return Err(Failure::Failed),
    }
    tls::accept(stream, config).await.map_err(|error| {
        tracing::debug!(%error, "a TLS handshake failed");
        Failure::Failed
    })
}

/// Answers a request that came without TLS. Its head is read first, as far as it has arrived:
/// the system would reset a connection that is closed with unread bytes, and the client might
/// not see the answer.
async fn tell_to_use_tls(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    // A client that has gone need not be told.
    let told = async {
        if stream.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        stream.write_all(WITHOUT_TLS).await?;
        stream.shutdown().await?;
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(GOODBYE, told).await;
}

const WITHOUT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 54\r\n\r\n\
    This port speaks HTTPS only: use https:// in the URL.\n";
/// How long a client may take to receive that answer.
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_the_oldest_handshake_is_closed() {
        let handshakes = Handshakes::new(2);
        let first = handshakes.enter();
        let second = handshakes.enter();
        drop(first);
        let third = handshakes.enter();
        assert!(!second.close.is_cancelled());
        let fourth = handshakes.enter();
        assert!(second.close.is_cancelled() && !third.close.is_cancelled() && !fourth.close.is_cancelled());
        drop((second, third, fourth));
        assert!(lock(&handshakes.state).open.is_empty());
    }

    #[test]
    fn the_answer_to_http_without_tls_has_the_length_that_it_says() {
        let text = str::from_utf8(WITHOUT_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
