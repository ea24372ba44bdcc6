//! `/admin/apps/{client_id}/owner`: giving an app to another developer.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::model::user::Username;
use crate::service::hand_over;
use crate::store::client_lists::ClientRow;
use crate::web::admin_apps::{app_of, to_app};
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path, ReasonField};
use crate::web::page::{Page, Section};
use crate::web::session::SignedIn;

/// The app's history keeps it, for its developer and admins.
const OWNER_REASON: ReasonField = ReasonField::new("reason-hint-owner");

#[derive(Template, WebTemplate)]
#[template(path = "admin/app_owner.html")]
pub struct OwnerPage {
    page: Page,
    row: ClientRow,
    /// As it was typed.
    owner: String,
    owner_error: Option<&'static str>,
    reason: ReasonField,
}

impl OwnerPage {
    fn is_refused(&self) -> bool {
        self.owner_error.is_some() || self.reason.error.is_some()
    }
}

fn page(app: &App, signed_in: &SignedIn, row: ClientRow) -> OwnerPage {
    let page = signed_in.page(Section::AdminApps, app.clock.now());
    OwnerPage { page, row, owner: String::new(), owner_error: None, reason: OWNER_REASON }
}

/// The message key of what is wrong with the new owner.
///
/// # Errors
/// What is wrong with something else.
fn owner_error(error: hand_over::Error) -> Result<&'static str> {
    match error {
        hand_over::Error::NoOwner => Ok("error-owner-unknown"),
        hand_over::Error::NotDeveloper => Ok("error-owner-developer"),
        hand_over::Error::SameOwner => Ok("error-owner-same"),
        hand_over::Error::NotFound => Err(Error::NotFound),
        hand_over::Error::Oneself => Err(Error::BadRequest("error-oneself")),
        hand_over::Error::Store(error) => Err(error.into()),
    }
}

pub async fn owner_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let (row, _) = app_of(&app, &id).await?;
    if row.status.is_deleted() {
        return Ok(to_app(&row.id).into_response());
    }
    Ok(page(&app, &signed_in, row).into_response())
}

pub async fn set_owner(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let (row, client) = app_of(&app, &id).await?;
    let typed = form.get("owner").unwrap_or_default().trim().to_owned();
    let refused = |owner_error, reason| {
        let page =
            OwnerPage { owner: typed.clone(), owner_error, reason, ..page(&app, &signed_in, row.clone()) };
        (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
    };
    let owner = Username::parse(&typed);
    let unknown = owner.is_none().then_some("error-owner-unknown");
    let reason = match OWNER_REASON.read(&form) {
        Ok(reason) => reason,
        Err(reason) => return Ok(refused(unknown, reason)),
    };
    let shown = ReasonField { text: reason.clone(), ..OWNER_REASON };
    let Some(owner) = owner else { return Ok(refused(unknown, shown)) };
    let by = signed_in.by(app.clock.now()).because(reason);
    match hand_over::client(&app.store, client.id, owner, by).await {
        Ok(_) => Ok(to_app(&row.id).into_response()),
        Err(error) => Ok(refused(Some(owner_error(error)?), shown)),
    }
}
