//! `/admin/users`: every account there is, and acting for its owner or against it.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::model::id::UserId;
use crate::model::user::{Role, UserStatus, UserStatusKind};
use crate::service::moderate;
use crate::service::revoke::{self, Apps};
use crate::store::client_lists::{ClientRow, Rows};
use crate::store::grants::GrantCard;
use crate::store::receipts::LedgerRow;
use crate::store::user_lists::{UserRow, UserSearch};
use crate::web::admin_apps::done;
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path, Query, ReasonField, page_number, page_text, with_query};
use crate::web::page::{Page, Section};
use crate::web::reach::worst_case_everywhere;
use crate::web::session::SignedIn;

/// The account's owner and admins read it.
const ACCOUNT_REASON: ReasonField = ReasonField::new("reason-hint-account");
/// Users of the apps that are suspended with the account read it too.
const DISABLE_REASON: ReasonField = ReasonField::new("reason-hint-disable");

#[derive(Template, WebTemplate)]
#[template(path = "admin/users.html")]
pub struct ListPage {
    page: Page,
    search: UserSearch,
    users: Rows<UserRow>,
}

impl ListPage {
    fn address(&self, page: u32) -> String {
        let page = page_text(page);
        let UserSearch { text, status, role, .. } = &self.search;
        let (status, role) = (status.map_or("", UserStatusKind::as_str), role.map_or("", Role::as_str));
        with_query("/admin/users", &[("q", text), ("status", status), ("role", role), ("page", &page)])
    }

    fn is_status(&self, status: &UserStatusKind) -> bool {
        self.search.status == Some(*status)
    }

    fn is_role(&self, role: &Role) -> bool {
        self.search.role == Some(*role)
    }

    fn previous(&self) -> Option<String> {
        self.search.page.checked_sub(1).map(|page| self.address(page))
    }

    fn next(&self) -> Option<String> {
        self.users.has_more.then(|| self.address(self.search.page + 1))
    }
}

pub async fn list(State(app): State<App>, signed_in: SignedIn, Query(query): Query) -> Result<ListPage> {
    let search = UserSearch {
        text: query.get("q").unwrap_or_default().trim().to_owned(),
        status: query.get("status").and_then(UserStatusKind::parse),
        role: query.get("role").and_then(Role::parse),
        page: page_number(&query),
    };
    Ok(ListPage {
        page: signed_in.page(Section::AdminUsers, app.clock.now()),
        users: app.store.search_users(&search).await?,
        search,
    })
}

/// The colour of an account's badge: that of apps in such a state.
pub const fn badge(status: &UserStatus) -> &'static str {
    match status {
        UserStatus::Active => "active",
        UserStatus::Disabled { .. } => "suspended",
        UserStatus::Deleted { .. } => "deleted",
    }
}

async fn user_of(app: &App, id: &str) -> Result<UserRow> {
    let id = UserId::parse(id).ok_or(Error::NotFound)?;
    app.store.user_row(&id).await?.ok_or(Error::NotFound)
}

fn to_user(id: &UserId) -> Redirect {
    Redirect::to(&format!("/admin/users/{id}"))
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/user.html")]
pub struct DetailPage {
    page: Page,
    row: UserRow,
    is_own: bool,
    grants: Vec<GrantCard>,
    own_apps: Vec<ClientRow>,
    history: Vec<LedgerRow>,
    /// The role that is ticked.
    chosen: Role,
    role_error: Option<&'static str>,
    reason: ReasonField,
}

async fn show(app: &App, signed_in: &SignedIn, row: UserRow) -> Result<DetailPage> {
    let now = app.clock.now();
    Ok(DetailPage {
        page: signed_in.page(Section::AdminUsers, now),
        is_own: row.id == signed_in.user.id,
        grants: app.store.grant_cards(&row.id, now).await?,
        own_apps: app.store.clients_of(&row.id).await?,
        history: app.store.user_history(&row.id).await?,
        chosen: row.role,
        role_error: None,
        reason: ACCOUNT_REASON,
        row,
    })
}

pub async fn detail(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<DetailPage> {
    let row = user_of(&app, &id).await?;
    show(&app, &signed_in, row).await
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/user_disable.html")]
pub struct DisablePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    row: UserRow,
    /// Those that would be suspended.
    active_apps: Vec<ClientRow>,
    suspends_apps: bool,
    reason: ReasonField,
}

impl DisablePage {
    async fn new(app: &App, signed_in: &SignedIn, row: UserRow, reason: ReasonField) -> Result<Self> {
        let mut active_apps = app.store.clients_of(&row.id).await?;
        active_apps.retain(|client| client.status.is_active());
        let now = app.clock.now();
        let worst_case = worst_case_everywhere(app, None, now).await?;
        let page = signed_in.page(Section::AdminUsers, now);
        Ok(Self { page, worst_case, row, active_apps, suspends_apps: true, reason })
    }
}

pub async fn disable_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    if row.id == signed_in.user.id {
        return Err(revoke::Error::Oneself.into());
    }
    if !row.status.is_active() {
        return Ok(to_user(&row.id).into_response());
    }
    Ok(DisablePage::new(&app, &signed_in, row, DISABLE_REASON).await?.into_response())
}

pub async fn disable(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    let apps = if form.get("suspend_apps").is_some() { Apps::Suspend } else { Apps::Keep };
    let reason = match DISABLE_REASON.read(&form) {
        Ok(reason) => reason,
        Err(refused) => {
            let mut shown = DisablePage::new(&app, &signed_in, row, refused).await?;
            shown.suspends_apps = apps == Apps::Suspend;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    let by = signed_in.by(app.clock.now()).because(reason);
    let receipt = revoke::disable_user(&app.store, row.id.clone(), apps, by).await?;
    Ok(done(receipt.as_ref(), &to_user(&row.id)).into_response())
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/user_enable.html")]
pub struct EnablePage {
    page: Page,
    row: UserRow,
    reason: ReasonField,
}

pub async fn enable_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    if !row.status.is_disabled() {
        return Ok(to_user(&row.id).into_response());
    }
    if row.id == signed_in.user.id {
        return Err(moderate::Error::Oneself.into());
    }
    let page = signed_in.page(Section::AdminUsers, app.clock.now());
    Ok(EnablePage { page, row, reason: ACCOUNT_REASON }.into_response())
}

pub async fn enable(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    let now = app.clock.now();
    let reason = match ACCOUNT_REASON.read(&form) {
        Ok(reason) => reason,
        Err(reason) => {
            let shown = EnablePage { page: signed_in.page(Section::AdminUsers, now), row, reason };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    moderate::enable_user(&app.store, row.id.clone(), signed_in.by(now).because(reason)).await?;
    Ok(to_user(&row.id).into_response())
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/user_revoke.html")]
pub struct RevokePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    row: UserRow,
    grants: Vec<GrantCard>,
    devices: i64,
    reason: ReasonField,
}

impl RevokePage {
    async fn new(app: &App, signed_in: &SignedIn, row: UserRow, reason: ReasonField) -> Result<Self> {
        let now = app.clock.now();
        let grants = app.store.grant_cards(&row.id, now).await?;
        let devices = grants.iter().map(|grant| grant.devices).sum();
        let page = signed_in.page(Section::AdminUsers, now);
        let worst_case = worst_case_everywhere(app, None, now).await?;
        Ok(Self { page, worst_case, row, grants, devices, reason })
    }
}

pub async fn revoke_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    if row.status.is_deleted() {
        return Ok(to_user(&row.id).into_response());
    }
    Ok(RevokePage::new(&app, &signed_in, row, ACCOUNT_REASON).await?.into_response())
}

pub async fn revoke(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    let seen = form.get("generation").and_then(|generation| generation.parse().ok());
    let reason = match ACCOUNT_REASON.read(&form) {
        Ok(reason) => reason,
        Err(refused) => {
            let shown = RevokePage::new(&app, &signed_in, row, refused).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    let by = signed_in.by(app.clock.now()).because(reason);
    let receipt = revoke::user(&app.store, row.id.clone(), seen, by).await?;
    Ok(done(receipt.as_ref(), &to_user(&row.id)).into_response())
}

/// The form is on the account's page.
pub async fn role_page(Path(id): Path<String>) -> Result<Redirect> {
    let user = UserId::parse(&id).ok_or(Error::NotFound)?;
    Ok(Redirect::to(&format!("/admin/users/{user}#role")))
}

pub async fn set_role(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Response> {
    let row = user_of(&app, &id).await?;
    let Some(role) = form.get("role").and_then(Role::parse) else {
        let shown = show(&app, &signed_in, row).await?;
        let shown = DetailPage { role_error: Some("error-role"), ..shown };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
    };
    let reason = match ACCOUNT_REASON.read(&form) {
        Ok(reason) => reason,
        Err(reason) => {
            let shown = show(&app, &signed_in, row).await?;
            let shown = DetailPage { chosen: role, reason, ..shown };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response());
        }
    };
    let by = signed_in.by(app.clock.now()).because(reason);
    moderate::set_role(&app.store, row.id.clone(), role, by).await?;
    Ok(to_user(&row.id).into_response())
}
