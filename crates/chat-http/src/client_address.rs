//! The address of a client, also behind a proxy.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Once;

use chat_auth::Network;
use hyper::HeaderMap;
use ipnet::IpNet;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    /// The address, as far as it is known.
    pub(crate) ip: IpAddr,
    /// Whether the address is that of one client: limits for each address hold.
    is_of_client: bool,
}

impl ClientAddress {
    /// The address to which limits for each address apply. `None` where the address is that of
    /// a proxy that passes on many clients.
    pub(crate) fn limited(self) -> Option<IpAddr> {
        self.is_of_client.then_some(self.ip)
    }

    /// The network to which limits for each address apply.
    pub(crate) fn network(self) -> Option<Network> {
        self.limited().map(Network::of)
    }
}

/// Logs, once in the life of the process, that a proxy may be the reason why a limit for each
/// address has acted on this machine's own address.
pub(crate) fn note_limited(address: Option<IpAddr>, limit: &str) {
    if let Some(address) = address.filter(|address| address.to_canonical().is_loopback()) {
        LIMITED.call_once(|| {
            tracing::warn!(
                %address,
                limit,
                "a limit for each address has acted on this machine's own address; if a proxy on this \
                 machine passes on other people's requests, it must send X-Forwarded-For, and be in \
                 trusted_proxies"
            );
        });
    }
}

/// The address of a client: the other end of the connection or, if that is a trusted
/// proxy, the last address in `X-Forwarded-For` that is not a trusted proxy. Addresses
/// before that one are not trusted, because a client can write them itself.
///
/// A proxy on this machine that is not configured must not make one client of all people:
/// its requests carry a header that shows it, and have no address that could be limited. Nor
/// has a request without a peer.
pub(crate) fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, proxies: &[IpNet]) -> ClientAddress {
    let Some(peer) = peer else {
        UNKNOWN_PEER.call_once(|| {
            tracing::warn!(
                "the program around the chat does not tell the addresses of its clients, so that the \
                 limits for each address do not hold; it must add `Peer` to the extensions of its requests"
            );
        });
        return ClientAddress { ip: Ipv4Addr::UNSPECIFIED.into(), is_of_client: false };
    };
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if is_unknown_proxy(client, headers, proxies) {
        UNKNOWN_PROXY.call_once(|| {
            tracing::warn!(
                peer = %client,
                "requests come through a proxy on this machine that is not trusted, so that the \
                 limits for each address do not hold; set trusted_proxies to the address of this peer"
            );
        });
        return ClientAddress { ip: client, is_of_client: false };
    }
    let lists: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let passed = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let mut passed = passed.map(|part| str::from_utf8(part).unwrap_or_default().trim()).rev();
    if !lists.is_empty() && !is_proxy(&client) {
        // By default no proxy is trusted, and all clients behind one have its address.
        WARNED.call_once(|| {
            tracing::warn!(peer = %client, "X-Forwarded-For is ignored: it comes from an address that is not in trusted_proxies");
        });
    }
    while is_proxy(&client) {
        // Text that is no address ends the search: addresses before it cannot be trusted.
        let Some(before) = passed.next().and_then(address) else { break };
        client = before;
    }
    ClientAddress { ip: client, is_of_client: true }
}

/// Whether a request comes through a proxy on this machine that is not trusted.
pub(crate) fn is_unknown_proxy(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback()
        && ["x-forwarded-for", "forwarded", "x-real-ip"].iter().any(|name| headers.contains_key(*name))
        && !proxies.iter().any(|network| network.contains(&peer))
}

static WARNED: Once = Once::new();
static UNKNOWN_PROXY: Once = Once::new();
static UNKNOWN_PEER: Once = Once::new();
static LIMITED: Once = Once::new();

/// Parses an address, to which some proxies add a port.
fn address(written: &str) -> Option<IpAddr> {
    let address = written.parse().ok().or_else(|| {
        let socket: std::net::SocketAddr = written.parse().ok()?;
        Some(socket.ip())
    })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap()).into();
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("2001:db8::1", &["198.51.100.7"], "198.51.100.7"),
            // A proxy appends to what the client wrote.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, 10.1.1.1,10.2.2.2"], "198.51.100.7"),
            ("10.0.0.1", &["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db9::7]:4711"], "2001:db9::7"),
            ("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // A header need not be ASCII.
            ("10.0.0.1", &["\u{e9}, 198.51.100.7"], "198.51.100.7"),
        ] {
            let mut headers = HeaderMap::new();
            for list in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(list.as_bytes()).unwrap());
            }
            let found = client_address(Some(peer.parse().unwrap()), &headers, &proxies);
            assert_eq!(found.ip.to_string(), client, "{peer} {forwarded:?}");
            assert!(found.limited().is_some());
        }
    }

    #[test]
    fn a_proxy_on_this_machine_that_is_not_trusted_is_no_client() {
        let found = |peer: &str, header: Option<&'static str>, proxies: &[IpNet]| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header, HeaderValue::from_static("198.51.100.7"));
            }
            let found = client_address(Some(peer.parse().unwrap()), &headers, proxies);
            found.limited().map(|address| address.to_string())
        };
        for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
                assert_eq!(found(peer, Some(header), &[]), None, "{peer} {header}");
            }
            assert_eq!(found("192.0.2.1", Some(header), &[]).as_deref(), Some("192.0.2.1"));
        }
        let unknown = client_address(None, &HeaderMap::new(), &[]);
        assert_eq!((unknown.limited(), unknown.ip.to_string().as_str()), (None, "0.0.0.0"));
        assert_eq!(found("127.0.0.1", None, &[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(found("127.0.0.2", None, &[]).as_deref(), Some("127.0.0.2"));
        let trusted = ["127.0.0.1/32".parse().unwrap()];
        assert_eq!(found("127.0.0.1", Some("x-forwarded-for"), &trusted).as_deref(), Some("198.51.100.7"));
    }
}
