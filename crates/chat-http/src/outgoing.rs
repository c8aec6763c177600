//! Requests that this server sends to addresses that users give it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::TlsClient;

/// Sends requests to addresses that users give: by https, to public addresses only. The address
/// that is checked is the one that is connected to, and redirects are not followed.
pub(crate) struct Outgoing {
    private: PrivateAddresses,
    timeout: Duration,
    tls: TlsClient,
}

/// The private addresses to which requests are sent, which are also sent without TLS there.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivateAddresses {
    /// Whether they are all; then public ones get requests without TLS, too.
    pub(crate) all: bool,
    pub(crate) networks: Vec<IpNet>,
}

/// The address of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    uri: Uri,
    host: String,
    port: u16,
    is_https: bool,
}

/// An answer, whose body was thrown away.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutgoingError {
    #[error("not an https address of a server on the internet")]
    Address,
    #[error("the name of the server leads to private addresses")]
    Private,
    #[error("the server cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the certificates that the system trusts cannot be read")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS needs certificates"))]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the chat was built without TLS, so that https addresses cannot be reached")]
    WithoutTls,
    #[error("the request failed")]
    Http(#[source] hyper::Error),
    #[error("the server did not answer in time")]
    TimedOut,
}

impl Outgoing {
    /// Sends requests that take `timeout` at most.
    pub(crate) fn new(private: PrivateAddresses, timeout: Duration) -> Self {
        Self { private, timeout, tls: TlsClient::default() }
    }

    /// Checks an address as far as it can be without asking for the name of its host.
    ///
    /// # Errors
    ///
    /// [`OutgoingError::Address`], and [`OutgoingError::WithoutTls`] for any https address where the
    /// feature `tls` is off.
    pub(crate) fn target(&self, url: &str) -> Result<Target, OutgoingError> {
        let uri: Uri = url.parse().map_err(|_| OutgoingError::Address)?;
        let authority = uri.authority().ok_or(OutgoingError::Address)?;
        let is_https = match uri.scheme_str() {
            Some("https") if HAS_TLS => true,
            Some("https") => return Err(OutgoingError::WithoutTls),
            Some("http") if self.private.has_some() => false,
            _ => return Err(OutgoingError::Address),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let ip: Option<IpAddr> = host.parse().ok();
        let is_refused = ip.is_some_and(|ip| !self.private.allow(ip, is_https));
        if host.is_empty() || authority.as_str().contains('@') || is_refused {
            return Err(OutgoingError::Address);
        }
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Target { uri, host, port, is_https })
    }

    /// Sends a `POST`, and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`].
    pub(crate) async fn post(
        &self,
        target: &Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, OutgoingError> {
        let exchange = async {
            let stream = self.connect(target).await?;
            if !target.is_https {
                return exchange(stream, target, headers, body).await;
            }
            exchange(self.tls.connect(&target.host, stream).await?, target, headers, body).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(OutgoingError::TimedOut))
    }

    /// Connects to an address of the host that may be connected to.
    async fn connect(&self, target: &Target) -> Result<TcpStream, OutgoingError> {
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let mut found: Vec<SocketAddr> = found.map_err(OutgoingError::Connect)?.collect();
        found.retain(|address| self.private.allow(address.ip(), target.is_https));
        if found.is_empty() {
            return Err(OutgoingError::Private);
        }
        TcpStream::connect(found.as_slice()).await.map_err(OutgoingError::Connect)
    }
}

impl PrivateAddresses {
    fn has_some(&self) -> bool {
        self.all || !self.networks.is_empty()
    }

    fn allow(&self, address: IpAddr, is_https: bool) -> bool {
        let address = address.to_canonical();
        self.all
            || self.networks.iter().any(|network| network.contains(&address))
            || (is_https && is_public(address))
    }
}

impl Target {
    /// Scheme, host and port, as a push service compares them (RFC 6454 §6.2).
    pub(crate) fn origin(&self) -> String {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let authority = authority.to_ascii_lowercase();
        let (scheme, port) = if self.is_https { ("https", ":443") } else { ("http", ":80") };
        format!("{scheme}://{}", authority.strip_suffix(port).unwrap_or(&authority))
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, OutgoingError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(OutgoingError::Http)?;
    let exchange = async {
        let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| OutgoingError::Address)?;
        *request.headers_mut() = headers;
        let authority = target.uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(|_| OutgoingError::Address)?;
        request.headers_mut().insert(HOST, host);
        let answer = sender.send_request(request).await.map_err(OutgoingError::Http)?;
        let (head, body) = answer.into_parts();
        // Read, so that the other end sees its answer taken; what it says is of no use.
        let _ = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        Ok(Answer { status: head.status, headers: head.headers })
    };
    let drive = async {
        let _ = connection.await;
        // The answer may have come with the end of the connection.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = drive => Err(OutgoingError::TimedOut),
    }
}

/// The pauses between attempts that fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The pause after an attempt that failed, after so many others: twice as long each time, with
    /// jitter, so that what waits for a service that was out does not come at once.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let longest = self.min.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(self.max);
        longest.mul_f64(rand::random_range(0.5..1.0))
    }

    /// The pause that an answer asks for by the seconds of `Retry-After`, at most `max`.
    pub(crate) fn asked_for(self, headers: &HeaderMap) -> Option<Duration> {
        let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.max(1)).min(self.max))
    }
}

/// Whether https addresses can be reached.
pub(crate) const HAS_TLS: bool = cfg!(feature = "tls");

/// The most bytes that are read of an answer.
const ANSWER_MAX_BYTES: usize = 4 * 1024;

/// Whether an address belongs to a machine on the internet, as opposed to this machine, its
/// network, or no machine at all (RFC 6890 and the registries of IANA).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        // NAT64 leads to the address of version 4.
        return is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    }
    // Global unicast, without 2001::/23 (protocols, Teredo), documentation, and 6to4.
    (segments[0] & 0xe000) == 0x2000
        && !(segments[0] == 0x2001 && segments[1] < 0x200)
        && !(segments[0] == 0x2001 && segments[1] == 0xdb8)
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
        && segments[0] != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(all: bool, networks: &[&str]) -> Outgoing {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Outgoing::new(PrivateAddresses { all, networks }, Duration::from_secs(20))
    }

    #[test]
    fn networks_may_be_allowed_also_without_tls() {
        let some = outgoing(false, &["10.1.0.0/16", "fd00::/8"]);
        for url in ["http://10.1.2.3/a", "https://10.1.2.3/a", "http://[fd00::1]:80/", "https://1.1.1.1/"] {
            assert!(some.target(url).is_ok(), "{url}");
        }
        // The mapped address is the same machine.
        assert!(some.target("http://[::ffff:10.1.2.3]/").is_ok());
        for url in ["http://10.2.0.1/", "https://127.0.0.1/", "http://1.1.1.1/", "https://[::ffff:10.2.0.1]/"]
        {
            assert!(some.target(url).is_err(), "{url}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let backoff = Backoff { min: Duration::from_secs(30), max: Duration::from_secs(3600) };
        for failures in [0, 3, 100, u32::MAX] {
            let pause = backoff.pause(failures);
            assert!(pause >= backoff.min / 2 && pause <= backoff.max, "{pause:?}");
        }
        assert!(backoff.pause(3) >= backoff.min * 4);
        let mut headers = HeaderMap::new();
        assert_eq!(backoff.asked_for(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(backoff.asked_for(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("999999"));
        assert_eq!(backoff.asked_for(&headers), Some(backoff.max));
    }

    #[test]
    fn only_addresses_on_the_internet_are_public() {
        let public = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        let refused = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "2001::1",
            "2002:a00:1::1",
        ];
        for address in refused {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn only_https_to_the_internet_is_allowed() {
        let strict = outgoing(false, &[]);
        let target = strict.target("https://Push.example:443/a?b=c").unwrap();
        assert_eq!((target.origin().as_str(), target.port), ("https://push.example", 443));
        let refused = [
            "http://push.example/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://10.0.0.1:8443/a",
            "https://a@push.example/",
            "file:///etc/passwd",
            "/a",
            "",
        ];
        for url in refused {
            assert!(strict.target(url).is_err(), "{url}");
        }
        let open = outgoing(true, &[]);
        assert_eq!(open.target("http://127.0.0.1:90/a").unwrap().origin(), "http://127.0.0.1:90");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let strict = outgoing(false, &[]);
        let target = strict.target("https://localhost/a").unwrap();
        let sent = strict.post(&target, HeaderMap::new(), Bytes::new()).await;
        assert!(matches!(sent, Err(OutgoingError::Private)));
    }
}
