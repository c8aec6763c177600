//! The part of an address that belongs to one customer of a provider.

use std::fmt;
use std::net::IpAddr;

/// The part of an address that belongs to one customer of a provider, who may use any address
/// in it: all of IPv4, 56 bits of IPv6. Limits on addresses count such networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address. An IPv4 address that is written as IPv6 is IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((u128::from(address) >> 72 << 72).into())),
            v4 => Self(v4),
        }
    }
}

/// The address, or the first one with the length of the network.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/56"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_an_address_of_ipv4_or_56_bits_of_ipv6() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:0:1ff::1", "2001:db8:0:100::/56"),
            ("2001:db8:0:200::1", "2001:db8:0:200::/56"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
    }
}
