//! `/account/export`: what is kept about a person, as one JSON object.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::clock::iso;
use crate::store::client_lists::ClientRow;
use crate::store::grants::GrantCard;
use crate::store::receipts::LedgerRow;
use crate::store::sessions::SignedInBrowser;
use crate::web::error::Result;
use crate::web::session::SignedIn;

fn grant(grant: &GrantCard) -> Value {
    json!({
        "grant_id": grant.id, "client_id": grant.client_id, "app": grant.name.as_str(),
        "publisher": grant.publisher, "scope": grant.scope.to_string(), "status": grant.status.as_str(),
        "first_authorized_at": iso(grant.first_authorized_at), "authorized_at": iso(grant.authorized_at),
        "last_used_at": grant.last_used_at.map(iso), "ended_at": grant.status.ended_at().map(iso),
        "devices": grant.devices, "access_tokens": grant.tokens,
    })
}

fn browser(browser: &SignedInBrowser) -> Value {
    json!({ "device": browser.device, "signed_in_at": iso(browser.created_at) })
}

fn act(row: &LedgerRow) -> Value {
    json!({
        "receipt_id": row.receipt_id, "at": iso(row.at), "act": row.action.as_str(), "by": row.actor.kind(),
        "app": row.client_name,
    })
}

fn app_of(client: &ClientRow) -> Value {
    json!({ "client_id": client.id, "name": client.name.as_str(), "status": client.status.as_str() })
}

pub async fn export(State(app): State<App>, signed_in: SignedIn) -> Result<Response> {
    let now = app.clock.now();
    let user = signed_in.user;
    let mut grants = app.store.grant_cards(&user.id, now).await?;
    grants.extend(app.store.ended_grant_cards(&user.id, now).await?);
    let browsers = app.store.signed_in_browsers(&user.id, now).await?;
    let history = app.store.user_history(&user.id).await?;
    let apps = app.store.clients_of(&user.id).await?;
    let body = json!({
        "user_id": user.id, "username": user.username, "email": user.email, "role": user.role,
        "created_at": iso(user.created_at), "exported_at": iso(now),
        "grants": grants.iter().map(grant).collect::<Vec<_>>(),
        "sessions": browsers.iter().map(browser).collect::<Vec<_>>(),
        "history": history.iter().map(act).collect::<Vec<_>>(),
        "apps": apps.iter().map(app_of).collect::<Vec<_>>(),
    });
    let headers = [(header::CONTENT_DISPOSITION, "attachment; filename=\"rescind-account.json\"")];
    Ok((headers, Json(body)).into_response())
}
