//! What developers do to their apps: revoke all user tokens, rotate the secret, delete.

use std::time::Duration;

use askama::Template;
use askama_web::WebTemplate;
use axum::Extension;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::client::{Client, ClientKind, ClientStatus};
use crate::model::id::ClientId;
use crate::model::params::Params;
use crate::model::secret::{ClientSecret, MAX_OVERLAP_HOURS};
use crate::service::counts::Counted;
use crate::service::register;
use crate::service::revoke::{self, Authority};
use crate::web::developer::{Notice, own, own_or_deleted, to_app, to_receipt_of};
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path};
use crate::web::once::{self, Brought};
use crate::web::page::{Page, Section};
use crate::web::reach::worst_case_everywhere;
use crate::web::session::SignedIn;

#[derive(Template, WebTemplate)]
#[template(path = "developer/revoke_tokens.html")]
pub struct RevokeTokensPage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    client: Client,
    counted: Counted,
}

impl RevokeTokensPage {
    fn can_rotate(&self) -> bool {
        can_rotate(&self.client)
    }
}

pub async fn revoke_tokens_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<RevokeTokensPage> {
    let client = own(&app, &signed_in, &id).await?;
    let counted = app.counts.of(&app.store, &client, &app.clock).await?;
    let now = app.clock.now();
    let worst_case = worst_case_everywhere(&app, Some(&client.id), now).await?;
    Ok(RevokeTokensPage { page: signed_in.page(Section::Apps, now), worst_case, client, counted })
}

/// The generation that the page showed; scripts may leave it out, and then act on what there is.
fn seen(form: &Params) -> Result<Option<i64>> {
    form.get("generation")
        .map(|text| text.parse().map_err(|_| Error::BadRequest("error-generation")))
        .transpose()
}

pub async fn revoke_tokens(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let client = own(&app, &signed_in, &id).await?;
    let seen = seen(&form)?;
    let by = signed_in.by(app.clock.now());
    let owner = Authority::Owner(signed_in.user.id);
    match revoke::client_tokens(&app.store, client.id.clone(), owner, seen, by).await? {
        Some(receipt) => Ok(Redirect::to(&format!("/receipts/{receipt}")).into_response()),
        None => {
            to_receipt_of(&app, &client, seen.map_or(client.generation, |seen| seen.saturating_add(1))).await
        }
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "developer/rotate_secret.html")]
pub struct RotateSecretPage {
    page: Page,
    client: Client,
    /// As it was typed.
    overlap_hours: String,
    is_refused: bool,
}

/// A new secret, on the page that shows it once.
#[derive(Template, WebTemplate)]
#[template(path = "developer/secret.html")]
pub struct SecretPage {
    page: Page,
    client: Client,
    /// `None` once it has been shown.
    secret: Option<ClientSecret>,
    /// When the last of the earlier ones stops.
    earlier_until: Option<Timestamp>,
}

fn secret_path(id: &ClientId) -> String {
    format!("/apps/{id}/secret")
}

/// To the page that shows the new secret of `client` once.
pub fn to_secret(app: &App, client: &ClientId, secret: &ClientSecret) -> Result<Response> {
    once::to_page(&secret_path(client), secret.expose(), app.config.issuer.transport())
}

pub async fn secret_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    method: Method,
    brought: Option<Extension<Brought>>,
) -> Result<Response> {
    let client = own(&app, &signed_in, &id).await?;
    let now = app.clock.now();
    // Only a secret that works is shown: anybody could have put a cookie there.
    let known = app.store.client_and_secrets(&client.id, now).await?;
    let is_valid = |secret: &ClientSecret| {
        let mut digests = known.iter().flat_map(|client| client.secrets(now));
        digests.any(|digest| digest.matches(&secret.digest()))
    };
    let secret = brought.and_then(|brought| ClientSecret::parse(brought.text())).filter(is_valid);
    let secrets = app.store.client_secret_rows(&client.id, now).await?;
    let earlier_until = secrets.iter().filter_map(|row| row.expires_at).max();
    let (page, path) = (signed_in.page(Section::Apps, now), secret_path(&client.id));
    let page = SecretPage { page, client, secret, earlier_until };
    once::shown(page, &path, &method, app.config.issuer.transport())
}

/// How much longer earlier secrets work, which a form gives in hours.
pub fn overlap(text: &str) -> Option<Duration> {
    let is_number = matches!(text.len(), 1..=3) && text.bytes().all(|byte| byte.is_ascii_digit());
    let hours: u64 = is_number.then(|| text.parse().ok())??;
    (hours <= MAX_OVERLAP_HOURS).then(|| Duration::from_secs(hours * 3600))
}

fn can_rotate(client: &Client) -> bool {
    client.kind == ClientKind::Confidential && client.status.is_active()
}

pub async fn rotate_secret_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = own(&app, &signed_in, &id).await?;
    if !can_rotate(&client) {
        return Ok(to_app(&client.id, Notice::Refused));
    }
    let page = signed_in.page(Section::Apps, app.clock.now());
    Ok(RotateSecretPage { page, client, overlap_hours: "24".to_owned(), is_refused: false }.into_response())
}

pub async fn rotate_secret(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let now = app.clock.now();
    let client = own(&app, &signed_in, &id).await?;
    let typed = form.get("overlap_hours").unwrap_or_default().trim();
    let Some(overlap) = overlap(typed) else {
        let page = signed_in.page(Section::Apps, now);
        let page = RotateSecretPage { page, client, overlap_hours: typed.to_owned(), is_refused: true };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let by = signed_in.by(now);
    match register::rotate_secret(&app.store, client.id.clone(), signed_in.user.id, overlap, by).await {
        Ok(secret) => to_secret(&app, &client.id, &secret),
        // Public, or no longer active: its page says so.
        Err(register::Error::NotFound) => Ok(to_app(&client.id, Notice::Refused)),
        Err(error) => Err(error.into()),
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "developer/delete.html")]
pub struct DeletePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    client: Client,
    counted: Counted,
    /// What was typed instead of the name.
    refused: Option<String>,
}

impl DeletePage {
    fn refusal(&self) -> String {
        match self.refused.as_deref().unwrap_or_default() {
            "" => self.page.t1("delete-empty", "app", &self.client.name),
            typed => self.page.t2("delete-typed", "typed", typed, "app", &self.client.name),
        }
    }
}

pub async fn delete_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let client = own(&app, &signed_in, &id).await?;
    if client.status.is_banned() {
        return Ok(to_app(&client.id, Notice::Refused));
    }
    let counted = app.counts.of(&app.store, &client, &app.clock).await?;
    let now = app.clock.now();
    let worst_case = worst_case_everywhere(&app, Some(&client.id), now).await?;
    let page = signed_in.page(Section::Apps, now);
    Ok(DeletePage { page, worst_case, client, counted, refused: None }.into_response())
}

pub async fn delete(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let client = own_or_deleted(&app, &signed_in, &id).await?;
    if client.status.is_deleted() {
        return to_receipt_of(&app, &client, client.generation).await;
    }
    let now = app.clock.now();
    let typed = form.get("name").unwrap_or_default().trim();
    // The id is for names of earlier versions that show nothing.
    if !client.name.is_typed_as(typed) && typed != client.id.as_str() {
        let counted = app.counts.of(&app.store, &client, &app.clock).await?;
        let page = signed_in.page(Section::Apps, now);
        let worst_case = worst_case_everywhere(&app, Some(&client.id), now).await?;
        let page = DeletePage { page, worst_case, client, counted, refused: Some(typed.to_owned()) };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let by = signed_in.by(now);
    let owner = Authority::Owner(signed_in.user.id.clone());
    match revoke::delete_client(&app.store, client.id.clone(), owner, by).await {
        Ok(Some(receipt)) => Ok(Redirect::to(&format!("/receipts/{receipt}")).into_response()),
        // Banned before, or deleted by a request that ran beside this one.
        Ok(None) | Err(revoke::Error::NotFound) => {
            let client = own_or_deleted(&app, &signed_in, &id).await?;
            match client.status {
                ClientStatus::Deleted { .. } => to_receipt_of(&app, &client, client.generation).await,
                _ => Ok(to_app(&client.id, Notice::Refused)),
            }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_whole_number_of_hours_up_to_a_week() {
        assert_eq!(overlap("0"), Some(Duration::ZERO));
        assert_eq!(overlap("168"), Some(Duration::from_secs(604_800)));
        for text in ["", "169", "-1", "+1", "1.5", "1e2", "٣", "0000", "24h", "99999999999999999999"] {
            assert_eq!(overlap(text), None, "{text:?}");
        }
    }
}
