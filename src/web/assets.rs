//! The stylesheet, the script and the icon, from the binary itself.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::web::form::Path;

#[derive(RustEmbed)]
#[folder = "static/"]
#[include = "rescind.*"]
#[include = "icon.svg"]
struct Assets;

fn etag(hash: [u8; 32]) -> String {
    format!("\"{:016x}\"", u64::from_be_bytes(std::array::from_fn(|i| hash[i])))
}

/// The address of an asset; another content has another address.
pub fn address(name: &str) -> String {
    let version = Assets::get(name).map(|file| etag(file.metadata.sha256_hash())).unwrap_or_default();
    format!("/static/{name}?v={}", version.trim_matches('"'))
}

pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Assets::get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = etag(file.metadata.sha256_hash());
    let caching = [(header::CACHE_CONTROL, "public, max-age=86400".to_owned()), (header::ETAG, tag.clone())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let media = file.metadata.mimetype().to_owned();
    (caching, [(header::CONTENT_TYPE, media)], file.data).into_response()
}
