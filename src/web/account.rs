//! `/register` and `/account`: people and their own accounts.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::Session;

use crate::app::App;
use crate::app::address::Address;
use crate::clock::Timestamp;
use crate::config::Registration;
use crate::model::by::By;
use crate::model::id::SessionId;
use crate::model::params::Params;
use crate::model::password::Password;
use crate::model::user::{Role, Username, is_email};
use crate::request;
use crate::service::account::{self, AppAccess};
use crate::service::register::{self, NewUser};
use crate::service::revoke;
use crate::service::sign_in_attempts;
use crate::service::sign_in_limit::Purpose;
use crate::store;
use crate::store::receipts::LedgerRow;
use crate::store::sessions::SignedInBrowser;
use crate::store::users::{Credentials, User};
use crate::web::authorizations::named_receipt;
use crate::web::error::{Error, Result};
use crate::web::form::{Faults, Form, Path, Query, local_path};
use crate::web::page::{Page, Section};
use crate::web::reach::{Reach, worst_case_everywhere};
use crate::web::session::{self, SignedIn, Viewer};
use crate::web::sign_in::go_on;
use crate::web::user_agent;

#[derive(Template, WebTemplate)]
#[template(path = "account/register.html")]
pub struct RegisterPage {
    page: Page,
    username: String,
    email: String,
    next: String,
    faults: Faults,
}

impl RegisterPage {
    fn new(page: Page, fields: &Params, faults: Faults) -> Self {
        let field = |name| fields.get(name).unwrap_or_default().to_owned();
        let next = fields.get("next").and_then(local_path).unwrap_or_default();
        Self { page, username: field("username"), email: field("email"), next, faults }
    }
}

pub async fn register_page(State(app): State<App>, viewer: Viewer, Query(query): Query) -> Result<Response> {
    if app.config.registration == Registration::Off {
        return Err(Error::NotFound);
    }
    Ok(RegisterPage::new(viewer.page(app.clock.now()), &query, Faults::default()).into_response())
}

pub async fn register(
    State(app): State<App>,
    session: Session,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response> {
    if app.config.registration == Registration::Off {
        return Err(Error::NotFound);
    }
    let now = app.clock.now();
    let page = |faults| RegisterPage::new(Viewer(None).page(now), &form, faults);
    let mut faults = Faults::default();
    let Some(new) = new_user(&form, &mut faults) else {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(faults)).into_response());
    };
    // Making accounts costs as much as signing in, so it is bounded in the same way.
    let _ = sign_in_attempts::begin(&app.sign_in_limit, &app.store, Purpose::NoAccount, address, now).await?;
    let username = new.username.clone();
    match register::user(&app.store, &app.passwords, new, By::visitor(address, now)).await {
        Ok(_) => {}
        Err(register::Error::Store(store::Error::Exists)) => {
            faults.add("username", "error-username-taken");
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(faults)).into_response());
        }
        Err(error) => return Err(error.into()),
    }
    // The account is committed: if no session can begin, the person signs in by hand.
    let begun = match app.store.credentials(&username).await {
        Ok(Some(credentials)) => {
            session::begin(&session, &credentials, user_agent::name(&headers), None).await
        }
        Ok(None) => Ok(false),
        Err(error) => Err(error.into()),
    };
    clear_unless_begun(&session, begun).await;
    go_on(&headers, &form.get("next").and_then(local_path).unwrap_or_default())
}

fn new_user(form: &Params, faults: &mut Faults) -> Option<NewUser> {
    let username = Username::parse(form.get("username").unwrap_or_default()).ok_or("error-username");
    let username = faults.check("username", username);
    let email = form.get("email").map(str::trim).filter(|email| !email.is_empty());
    if email.is_some_and(|email| !is_email(email)) {
        faults.add("email", "error-email");
    }
    let password = Password::chosen(form.get("password").unwrap_or_default().to_owned());
    let password = faults.check("password", password);
    if !faults.is_empty() {
        return None;
    }
    Some(NewUser {
        username: username?,
        email: email.map(str::to_owned),
        role: Role::User,
        password: password?,
    })
}

/// A new session in this browser, after the account was changed.
///
/// The change is already committed. So if no session can begin, the person signs in by hand; an error would say that
/// nothing was changed.
async fn sign_in_again(session: &Session, changed: &Credentials, headers: &HeaderMap) {
    let begun = session::begin(session, changed, user_agent::name(headers), None).await;
    clear_unless_begun(session, begun).await;
}

async fn clear_unless_begun(session: &Session, begun: Result<bool>) {
    if !matches!(begun, Ok(true)) {
        tracing::warn!(request.id = %request::Id::current(), "session.not_begun");
        session.clear().await;
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "account/account.html")]
pub struct AccountPage {
    page: Page,
    user: User,
    session: SessionId,
    browsers: Vec<SignedInBrowser>,
    notice: Option<&'static str>,
    receipt: Vec<LedgerRow>,
    reach: Reach,
    /// What happened to the account, newest first.
    activity: Vec<LedgerRow>,
    faults: Faults,
}

/// Rows of the account's page; the export has more.
const ACTIVITY: usize = 20;

impl AccountPage {
    /// Where an act of the person's own came from; other people's addresses are not theirs to know.
    fn address<'r>(&self, row: &'r LedgerRow) -> Option<&'r str> {
        let is_own = row.actor.id() == Some(self.user.id.as_str());
        row.address.as_deref().filter(|_| is_own)
    }
}

async fn account_page(
    app: &App,
    signed_in: SignedIn,
    notice: Option<&'static str>,
    receipt: Vec<LedgerRow>,
    faults: Faults,
) -> Result<AccountPage> {
    let now = app.clock.now();
    let mut activity = app.store.user_history(&signed_in.user.id).await?;
    activity.truncate(ACTIVITY);
    Ok(AccountPage {
        activity,
        reach: Reach::of(app, &receipt, now).await?,
        receipt,
        page: signed_in.page(Section::Account, now),
        browsers: app.store.signed_in_browsers(&signed_in.user.id, now).await?,
        session: signed_in.session,
        user: signed_in.user,
        notice,
        faults,
    })
}

pub async fn account(
    State(app): State<App>,
    signed_in: SignedIn,
    Query(query): Query,
) -> Result<AccountPage> {
    let notice = match query.get("done") {
        Some("password") => Some("account-password-changed"),
        Some("session") => Some("account-session-ended"),
        _ => None,
    };
    let receipt = named_receipt(&app, &signed_in, &query).await?;
    account_page(&app, signed_in, notice, receipt, Faults::default()).await
}

/// The forms for these paths are on the account's page.
pub async fn to_account() -> Redirect {
    Redirect::to("/account")
}

/// The account's credentials, if the form's `current_password` is right; otherwise a fault is noted.
async fn confirm(
    app: &App,
    signed_in: &SignedIn,
    address: &Address,
    form: &Params,
    faults: &mut Faults,
) -> Result<Option<Credentials>> {
    let now = app.clock.now();
    let purpose = Purpose::Confirm(&signed_in.session);
    let attempt = sign_in_attempts::begin(&app.sign_in_limit, &app.store, purpose, address.0, now).await?;
    let typed = Password::typed(form.get("current_password").unwrap_or_default().to_owned());
    let checked = app.passwords.check(&app.store, Some(&signed_in.user.username), typed).await?;
    match &checked {
        Some(_) => sign_in_attempts::succeeded(&app.sign_in_limit, &app.store, attempt, now).await,
        None => faults.add("current_password", "error-current-password"),
    }
    Ok(checked)
}

/// The hash of the form's `new_password`, if it is acceptable and the current password is right.
async fn new_password(
    app: &App,
    signed_in: &SignedIn,
    address: &Address,
    form: &Params,
    faults: &mut Faults,
) -> Result<Option<(Credentials, String)>> {
    let chosen = Password::chosen(form.get("new_password").unwrap_or_default().to_owned());
    let chosen = faults.check("new_password", chosen);
    let checked = confirm(app, signed_in, address, form, faults).await?;
    let Some((checked, chosen)) = checked.zip(chosen).filter(|_| faults.is_empty()) else { return Ok(None) };
    let hash = app.passwords.hash(chosen).await.map_err(register::Error::from)?;
    Ok(Some((checked, hash)))
}

pub async fn change_password(
    State(app): State<App>,
    signed_in: SignedIn,
    session: Session,
    address: Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response> {
    let mut faults = Faults::default();
    let changed = new_password(&app, &signed_in, &address, &form, &mut faults).await?;
    let Some((checked, hash)) = changed else {
        let page = account_page(&app, signed_in, None, Vec::new(), faults).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let app_access = if form.get("revoke_apps") == Some("1") { AppAccess::Revoke } else { AppAccess::Keep };
    let by = signed_in.by(app.clock.now());
    let (receipt, changed) = account::change_password(&app.store, checked, hash, app_access, by).await?;
    sign_in_again(&session, &changed, &headers).await;
    Ok(match receipt {
        Some(receipt) => Redirect::to(&format!("/account?done=password&receipt={receipt}")),
        None => Redirect::to("/account?done=password"),
    }
    .into_response())
}

pub async fn end_session(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    _: Form,
) -> Result<Redirect> {
    let id = SessionId::parse(&id).ok_or(Error::NotFound)?;
    // Ended before, or somebody else's: the list shows what there is.
    let by = signed_in.by(app.clock.now());
    account::end_session(&app.store, id, signed_in.user.id, by).await?;
    Ok(Redirect::to("/account?done=session"))
}

#[derive(Template, WebTemplate)]
#[template(path = "account/taken_over.html")]
pub struct TakenOverPage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    username: Username,
    apps: usize,
    browsers: usize,
    faults: Faults,
}

/// What ending everything would hit: apps with access, and signed-in browsers.
async fn reach(app: &App, signed_in: &SignedIn, now: Timestamp) -> Result<(usize, usize)> {
    let user = &signed_in.user.id;
    let apps = app.store.grant_cards(user, now).await?.len();
    Ok((apps, app.store.signed_in_browsers(user, now).await?.len()))
}

async fn taken_over_form(app: &App, signed_in: &SignedIn, faults: Faults) -> Result<TakenOverPage> {
    let now = app.clock.now();
    let (apps, browsers) = reach(app, signed_in, now).await?;
    let username = signed_in.user.username.clone();
    let worst_case = worst_case_everywhere(app, None, now).await?;
    let page = signed_in.page(Section::Account, now);
    Ok(TakenOverPage { page, worst_case, username, apps, browsers, faults })
}

pub async fn taken_over_page(State(app): State<App>, signed_in: SignedIn) -> Result<TakenOverPage> {
    taken_over_form(&app, &signed_in, Faults::default()).await
}

pub async fn taken_over(
    State(app): State<App>,
    signed_in: SignedIn,
    session: Session,
    address: Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response> {
    let mut faults = Faults::default();
    let changed = new_password(&app, &signed_in, &address, &form, &mut faults).await?;
    let Some((checked, hash)) = changed else {
        let page = taken_over_form(&app, &signed_in, faults).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let by = signed_in.by(app.clock.now());
    let (receipt, changed) = revoke::taken_over_account(&app.store, checked, hash, by).await?;
    sign_in_again(&session, &changed, &headers).await;
    Ok(Redirect::to(&format!("/receipts/{receipt}")).into_response())
}

#[derive(Template, WebTemplate)]
#[template(path = "account/delete.html")]
pub struct DeletePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    username: Username,
    apps: usize,
    faults: Faults,
}

async fn delete_form(app: &App, signed_in: &SignedIn, faults: Faults) -> Result<DeletePage> {
    let now = app.clock.now();
    let (apps, _) = reach(app, signed_in, now).await?;
    let username = signed_in.user.username.clone();
    let worst_case = worst_case_everywhere(app, None, now).await?;
    let page = signed_in.page(Section::Account, now);
    Ok(DeletePage { page, worst_case, username, apps, faults })
}

pub async fn delete_page(State(app): State<App>, signed_in: SignedIn) -> Result<DeletePage> {
    delete_form(&app, &signed_in, Faults::default()).await
}

pub async fn delete(
    State(app): State<App>,
    signed_in: SignedIn,
    session: Session,
    address: Address,
    Form(form): Form,
) -> Result<Response> {
    let mut faults = Faults::default();
    confirm(&app, &signed_in, &address, &form, &mut faults).await?;
    if !faults.is_empty() {
        let page = delete_form(&app, &signed_in, faults).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let by = signed_in.by(app.clock.now());
    revoke::delete_user(&app.store, signed_in.user.id, by).await?;
    // The session went with the account; that its row can't be deleted now is no failure of that.
    let _ = session.flush().await;
    Ok(Redirect::to("/").into_response())
}
