//! `POST /oauth/revoke` (RFC 7009).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;
use crate::app::address::Address;
use crate::model::by::By;
use crate::oauth::client_auth::{Basic, authenticate};
use crate::oauth::error::{Code, Error};
use crate::oauth::form::Form;
use crate::service::revoke::{self, Token, TokenRevocation};

pub async fn revoke(
    State(app): State<App>,
    Address(address): Address,
    basic: Option<Basic>,
    Form(form): Form,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let held = app.store.current_held().await?;
    let client = authenticate(&held, basic, &form, now).await?;
    let token = form.get("token").ok_or_else(|| Error::invalid_request("token is missing"))?;
    // The text tells the type, so a wrong token_type_hint can't hide a token (RFC 7009 §2.1).
    let reader = app.keys.reader_of(&app.store, &held).await?;
    let Some(token) = Token::read(token, &reader) else { return Ok(done()) };
    let by = By::client_by_protocol(&client.id, now).from_address(Some(address));
    let revoked = revoke::token(&app.store, token, Some(client.id.clone()), by).await.map_err(refused)?;
    match revoked {
        // An invalid token is no error: it does not work, which is what was asked for (§2.2).
        TokenRevocation::Revoked(_) | TokenRevocation::Nothing => Ok(done()),
        TokenRevocation::NotYours => Err(Error::invalid_request("token: it was issued to another client")),
    }
}

/// Clients ignore the body (RFC 7009 §2.2), but some of their libraries insist that there is JSON to read.
fn done() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({}))).into_response()
}

/// The token still works, and the answer must not say otherwise (RFC 7009 §2.2.1).
fn refused(error: revoke::Error) -> Error {
    match error {
        revoke::Error::Store(error) => error.into(),
        error => Error::new(Code::TemporarilyUnavailable, error.to_string()),
    }
}
