//! The address of a client, also behind a proxy.

use std::net::IpAddr;
use std::sync::Once;

use hyper::HeaderMap;
use ipnet::IpNet;

/// The address of a client: the other end of the connection or, if that is a trusted
/// proxy, the last address in `X-Forwarded-For` that is not a trusted proxy. Addresses
/// before that one are not trusted, because a client can write them itself.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
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
    client
}

static WARNED: Once = Once::new();

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
            let found = client_address(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(found.to_string(), client, "{peer} {forwarded:?}");
        }
    }
}
