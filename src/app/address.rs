//! Where a request comes from, as far as it can be known.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::app::App;

/// The caller's address: the peer's, or what a trusted proxy says.
pub struct Address(pub IpAddr);

impl FromRequestParts<App> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let is_trusted =
            |address: &IpAddr| app.config.trusted_proxies.iter().any(|net| net.contains(address));
        if !is_trusted(&peer) {
            return Ok(Self(peer));
        }
        // Each proxy appends whom it saw: the last one that is no proxy of ours is the caller.
        let forwarded =
            parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<IpAddr> =
            forwarded.flat_map(|value| value.split(',')).filter_map(|hop| hop.trim().parse().ok()).collect();
        Ok(Self(hops.into_iter().rev().find(|hop| !is_trusted(hop)).unwrap_or(peer)))
    }
}
