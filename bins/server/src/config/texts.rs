//! Settings whose text has a form of its own.

use std::net::IpAddr;

use chat_core::{RateLimit, ReservedNames, Username};
use ipnet::IpNet;
use reqwest::Url;

/// Reads `BURST,PER_SECOND`, or `off` as `None`.
pub(super) fn message_rate(text: &str) -> Result<Option<RateLimit>, String> {
    if text == "off" {
        return Ok(None);
    }
    let numbers = text.split_once(',').and_then(|(burst, per_second)| {
        let burst = burst.trim().parse().ok().filter(|burst| (1..=RATE_MAX).contains(burst))?;
        let per_second = per_second.trim().parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate))?;
        Some(RateLimit { burst, per_second })
    });
    numbers.map(Some).ok_or_else(|| {
        format!("must be off, or two numbers from 1 to {RATE_MAX}, such as 60,10 (burst, per second)")
    })
}

/// So many messages a second are no limit.
const RATE_MAX: u32 = 1_000_000;

/// Reads names that are separated by commas. An empty text has none.
pub(super) fn reserved_names(text: &str) -> Result<ReservedNames, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Username::parse);
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok(ReservedNames::new(names.iter().map(Username::as_str)))
}

/// Reads addresses and networks that are separated by commas.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    let networks = networks.map(|text| {
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        network.map_err(|_| format!("{text} is neither an address nor a network such as 10.0.0.0/8"))
    });
    networks.collect()
}

/// The host of the address of an OpenID provider, which must be reached by https, unless it is on
/// this machine.
pub(super) fn issuer_host(issuer: &str) -> Result<String, String> {
    let url = Url::parse(issuer).ok();
    let host = url.as_ref().and_then(|url| url.host_str().map(str::to_owned));
    let (Some(url), Some(host)) = (url, host) else {
        return Err("must be an address with https://".to_owned());
    };
    let is_here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err("must begin with https://".to_owned());
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err("must have no query, fragment, name and password".to_owned());
    }
    Ok(host)
}
