//! The address that a request comes from, as far as it can be known.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::app::App;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The caller's address: the peer's, or the one that a trusted proxy names.
pub struct Address(pub IpAddr);

impl FromRequestParts<App> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        Ok(Self(caller(peer, &parts.headers, &app.config.trusted_proxies)))
    }
}

/// Each proxy appends the address that it saw. So this reads from the end, as long as the address is a trusted proxy's.
///
/// A hop that is no address ends the search, because the caller may have written what is before it. Then the proxy that
/// wrote this hop counts as the caller.
fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    // Several lines are one list, in their order (RFC 9110 §5.3).
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    let mut caller = peer.to_canonical();
    while is_trusted(&caller) {
        match hops.next().and_then(hop_address) {
            Some(address) => caller = address,
            None => break,
        }
    }
    caller
}

/// The address of a hop: bare, quoted, in brackets or with a port. IPv4 mapped into IPv6 reads as IPv4.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let hop = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"')).unwrap_or(hop);
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// The caller if 10.0.0.0/8 and fd00::/8 are proxies and these lines came from `peer`.
    fn seen(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        caller(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn an_address_may_have_a_port_brackets_and_quotes() {
        for (hop, address) in [
            ("203.0.113.17", "203.0.113.17"),
            ("203.0.113.17:51123", "203.0.113.17"),
            ("\"203.0.113.17:51123\"", "203.0.113.17"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("::ffff:203.0.113.17", "203.0.113.17"),
            ("[::ffff:203.0.113.17]:443", "203.0.113.17"),
        ] {
            assert_eq!(seen(PROXY, &[&format!("192.0.2.1, {hop}")]), address, "{hop}");
        }
    }

    #[test]
    fn a_hop_that_is_no_address_never_makes_an_earlier_one_count() {
        for hop in
            ["unknown", "_hidden", "", "203.0.113.17:port", "203.0.113.17:99999", "2001:db8::1]:443", "ü"]
        {
            assert_eq!(seen(PROXY, &[&format!("192.0.2.1, {hop}")]), PROXY, "{hop}");
            assert_eq!(seen(PROXY, &["192.0.2.1", hop]), PROXY, "{hop}");
            // The proxy that wrote it is the last address that is known.
            assert_eq!(seen(PROXY, &[&format!("192.0.2.1, {hop}, 10.0.0.2")]), "10.0.0.2", "{hop}");
        }
    }

    #[test]
    fn several_header_lines_are_one_list() {
        assert_eq!(seen(PROXY, &["192.0.2.1", "203.0.113.17"]), "203.0.113.17");
        assert_eq!(seen(PROXY, &["192.0.2.1, 203.0.113.17", "10.0.0.2"]), "203.0.113.17");
    }

    #[test]
    fn a_mapped_address_is_the_proxy_with_that_ipv4_address() {
        assert_eq!(seen("::ffff:10.0.0.1", &["203.0.113.17"]), "203.0.113.17");
        assert_eq!(seen(PROXY, &["203.0.113.17, ::ffff:10.0.0.2"]), "203.0.113.17");
        assert_eq!(seen("::ffff:192.0.2.1", &["203.0.113.17"]), "192.0.2.1");
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        assert_eq!(seen("192.0.2.1", &["203.0.113.17"]), "192.0.2.1");
        assert_eq!(seen(PROXY, &["198.51.100.9, 203.0.113.17, fd00::2"]), "203.0.113.17");
        assert_eq!(seen(PROXY, &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(seen(PROXY, &[]), PROXY);
    }
}
