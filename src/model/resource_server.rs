//! APIs that accept access tokens of this server.

use crate::model::id::ResourceServerId;
use crate::model::secret::Digest;

/// A registered resource server.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    pub id: ResourceServerId,
    pub name: String,
    /// The `aud` of tokens for it: an absolute URI without fragment (RFC 8707 §2).
    pub audience: String,
    pub secret: Digest,
}

/// An absolute URI without fragment, white space or quotes.
pub fn is_audience(text: &str) -> bool {
    text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#'))
        && url::Url::parse(text).is_ok()
}
