//! The issuer: the address of this server (RFC 8414 §2).

use url::Url;

use crate::model::redirect_uri::is_loopback;

/// The address by which apps and users know this server.
#[derive(Clone, Debug)]
pub struct Issuer {
    text: String,
    transport: Transport,
}

/// Whether browsers reach the server through TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Https,
    /// Only on loopback.
    Http,
}

impl Issuer {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not an address such as https://id.example")?;
        let transport = match url.scheme() {
            "https" => Transport::Https,
            "http" if is_loopback(&url) || url.host_str() == Some("localhost") => Transport::Http,
            "http" => return Err("may use http only on a loopback address"),
            _ => return Err("has to begin with https://"),
        };
        // Clients compare it byte by byte (RFC 8414 §3.3), so only the normal form of a URL is accepted.
        if url.origin().ascii_serialization() != text {
            return Err("may hold only scheme, host and port: no path, no slash at the end");
        }
        Ok(Self { text: text.to_owned(), transport })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn transport(&self) -> Transport {
        self.transport
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_origin() {
        assert!(Issuer::parse("https://id.example").is_ok());
        assert!(Issuer::parse("http://localhost:8080").is_ok());
        for text in [
            "https://id.example/",
            "https://id.example/x",
            "https://ID.example",
            "id.example",
            "ftp://id.example",
        ] {
            assert!(Issuer::parse(text).is_err(), "{text}");
        }
    }
}
