//! Checks on every route that the request names one host (RFC 9112 §3.2).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::Ipv6Addr;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::response::Response;
use futures_util::future::Either;
use tower::{Layer, Service};

use crate::oauth::error::Error as OauthError;
use crate::web::error::page;

/// Answers 400 to a request without a valid `Host`, or with several.
#[derive(Clone, Copy, Debug)]
pub struct RequireHost;

impl<S> Layer<S> for RequireHost {
    type Service = HostRequired<S>;

    fn layer(&self, inner: S) -> HostRequired<S> {
        HostRequired(inner)
    }
}

#[derive(Clone, Debug)]
pub struct HostRequired<S>(S);

impl<S> Service<Request> for HostRequired<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if names_one_host(&request) {
            Either::Left(self.0.call(request))
        } else {
            let error = OauthError::invalid_request("the request needs exactly one valid Host header");
            let page = || page(StatusCode::BAD_REQUEST, "error-host", None);
            Either::Right(ready(Ok(super::refuse(super::matched_path(&request), error, page))))
        }
    }
}

fn names_one_host(request: &Request) -> bool {
    let mut values = request.headers().get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        // HTTP/1.0 does not have the header.
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(|host| {
            // If the request target has a host, it must be the same.
            let target = request.uri().authority();
            is_host(host) && target.is_none_or(|target| target.as_str().eq_ignore_ascii_case(host))
        }),
        (Some(_), Some(_)) => false,
    }
}

/// Whether this is `uri-host [":" port]` (RFC 9110 §7.2): a domain name, an IPv4 address, or an IPv6 address in
/// brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_port =
        port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    is_host && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in
            ["id.example", "ID.example:8080", "id.example.", "id.example:", "127.0.0.1", "[::1]", "[::1]:443"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            " ",
            ":80",
            "id.example:x",
            "id.example:+80",
            "id.example:65536",
            "id.example:1:2",
            "id.example/",
            "id.example, evil.example",
            "id.example,evil.example",
            "user@id.example",
            "http://id.example",
            "id_example?",
            "[::1",
            "::1",
            "[id.example]",
            "[]",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
