//! `/authorizations`: the apps that can reach an account, and taking that back.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::App;
use crate::clock::Timestamp;
use crate::model::client::ClientStatus;
use crate::model::grant::GrantStatus;
use crate::model::id::{ClientId, FamilyId, GrantId, ReceiptId};
use crate::model::params::Params;
use crate::model::resource_server::Audiences;
use crate::service::moderate;
use crate::service::revoke::{self, Asking};
use crate::store::families::Device;
use crate::store::grants::GrantCard;
use crate::store::receipts::LedgerRow;
use crate::store::resource_servers::Scopes;
use crate::web::error::{Error, Result};
use crate::web::form::{Form, Path, Query};
use crate::web::page::{Page, Section};
use crate::web::reach::{Reach, worst_case};
use crate::web::session::SignedIn;

/// An app that was not used for this many days counts as unused.
const UNUSED_DAYS: u64 = 90;

/// A grant as pages show it.
pub struct Card {
    pub grant: GrantCard,
    pub domain: String,
    pub permissions: Vec<String>,
    pub unused_days: Option<u64>,
}

impl Card {
    fn new(grant: GrantCard, scopes: &Scopes, now: Timestamp) -> Self {
        let idle = now.since(grant.last_used_at.unwrap_or(grant.authorized_at)).as_secs() / 86_400;
        Self {
            domain: grant.redirect_uris.first_domain(),
            permissions: scopes.of(&grant.scope).map(|entry| entry.description.clone()).collect(),
            unused_days: (idle >= UNUSED_DAYS).then_some(idle),
            grant,
        }
    }

    /// Whether the user's authorization stands. Something else may keep the app from using it: [`Self::hindrance`].
    pub fn is_open(&self) -> bool {
        self.grant.status == GrantStatus::Open
    }

    /// Why an open grant gives no access now: the key of a sentence.
    pub fn hindrance(&self) -> Option<&'static str> {
        match self.grant.client_status {
            ClientStatus::Suspended { .. } => Some("card-suspended"),
            ClientStatus::Banned { .. } => Some("card-banned"),
            ClientStatus::Deleted { .. } => Some("card-deleted"),
            ClientStatus::Active => (!self.grant.is_current).then_some("card-outdated"),
        }
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "authorizations/list.html")]
pub struct ListPage {
    page: Page,
    cards: Vec<Card>,
    receipt: Vec<LedgerRow>,
    reach: Reach,
    unused: Vec<GrantId>,
    reaching: usize,
}

pub async fn list(State(app): State<App>, signed_in: SignedIn, Query(query): Query) -> Result<Response> {
    let now = app.clock.now();
    if query.get("ended") == Some("1") {
        return Ok(ended(&app, &signed_in, now).await?.into_response());
    }
    let owner = &signed_in.user.id;
    let scopes = app.store.scopes().await?;
    let cards: Vec<Card> = app
        .store
        .grant_cards(owner, now)
        .await?
        .into_iter()
        .map(|grant| Card::new(grant, &scopes, now))
        .collect();
    let receipt = named_receipt(&app, &signed_in, &query).await?;
    Ok(ListPage {
        page: signed_in.page(Section::Authorizations, now),
        reach: Reach::of(&app, &receipt, now).await?,
        unused: cards
            .iter()
            .filter(|card| card.unused_days.is_some())
            .map(|card| card.grant.id.clone())
            .collect(),
        reaching: cards.iter().filter(|card| card.hindrance().is_none()).count(),
        cards,
        receipt,
    }
    .into_response())
}

/// The rows of the receipt that an address names: what the act that leads there has ended.
pub async fn named_receipt(app: &App, signed_in: &SignedIn, query: &Params) -> Result<Vec<LedgerRow>> {
    match query.get("receipt").and_then(ReceiptId::parse) {
        Some(id) => Ok(app.store.receipt(&id, &signed_in.user.id).await?),
        None => Ok(Vec::new()),
    }
}

#[derive(Template, WebTemplate)]
#[template(path = "authorizations/ended.html")]
pub struct EndedPage {
    page: Page,
    grants: Vec<GrantCard>,
}

async fn ended(app: &App, signed_in: &SignedIn, now: Timestamp) -> Result<EndedPage> {
    Ok(EndedPage {
        page: signed_in.page(Section::Authorizations, now),
        grants: app.store.ended_grant_cards(&signed_in.user.id, now).await?,
    })
}

async fn card(app: &App, signed_in: &SignedIn, id: &str, now: Timestamp) -> Result<Card> {
    let id = GrantId::parse(id).ok_or(Error::NotFound)?;
    let grant = app.store.grant_card(&id, &signed_in.user.id, now).await?.ok_or(Error::NotFound)?;
    Ok(Card::new(grant, &app.store.scopes().await?, now))
}

#[derive(Template, WebTemplate)]
#[template(path = "authorizations/detail.html")]
pub struct DetailPage {
    page: Page,
    card: Card,
    receipt: Vec<LedgerRow>,
    reach: Reach,
    devices: Vec<Device>,
    history: Vec<LedgerRow>,
    /// Whether the app may not ask the user again.
    blocked: bool,
}

pub async fn detail(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<DetailPage> {
    let now = app.clock.now();
    let card = card(&app, &signed_in, &id, now).await?;
    let receipt = named_receipt(&app, &signed_in, &query).await?;
    Ok(DetailPage {
        page: signed_in.page(Section::Authorizations, now),
        blocked: app.store.is_blocked(&signed_in.user.id, &card.grant.client_id).await?,
        devices: app.store.devices(&card.grant.id, &signed_in.user.id, now).await?,
        history: app
            .store
            .grant_history(
                &card.grant.id,
                &signed_in.user.id,
                &card.grant.client_id,
                card.grant.first_authorized_at,
            )
            .await?,
        card,
        reach: Reach::of(&app, &receipt, now).await?,
        receipt,
    })
}

#[derive(Template, WebTemplate)]
#[template(path = "authorizations/revoke.html")]
pub struct RevokePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    cards: Vec<Card>,
    devices: i64,
    extent: Extent,
}

/// How long it may take until every API that these grants ever gave access to refuses them.
async fn worst_case_of(app: &App, cards: &[Card], now: Timestamp) -> Result<String> {
    let mut audiences = Audiences::NOBODY;
    for card in cards {
        audiences = audiences.union(&app.store.grant_audiences(&card.grant.id).await?);
    }
    let clients = cards.iter().map(|card| Some(&card.grant.client_id));
    Ok(worst_case(app, clients, &audiences, now).await?)
}

/// What a revocation page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    One,
    Several,
    All,
}

impl RevokePage {
    async fn new(app: &App, page: Page, cards: Vec<Card>, extent: Extent, now: Timestamp) -> Result<Self> {
        let devices = cards.iter().map(|card| card.grant.devices).sum();
        let worst_case = worst_case_of(app, &cards, now).await?;
        Ok(Self { page, worst_case, cards, devices, extent })
    }
}

pub async fn revoke_one_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let now = app.clock.now();
    let card = card(&app, &signed_in, &id, now).await?;
    if !card.is_open() {
        return Ok(Redirect::to(&format!("/authorizations/{id}")).into_response());
    }
    let page = signed_in.page(Section::Authorizations, now);
    Ok(RevokePage::new(&app, page, vec![card], Extent::One, now).await?.into_response())
}

/// Ends the grant, and blocks the app if the form says so.
pub async fn revoke_one(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form,
) -> Result<Redirect> {
    let grant = GrantId::parse(&id).ok_or(Error::NotFound)?;
    let by = signed_in.by(app.clock.now());
    let receipt = revoke::grants(&app.store, signed_in.user.id, vec![grant], asking(&form), by).await?;
    Ok(done(receipt, &format!("/authorizations/{id}")))
}

/// The form is on the grant's page.
pub async fn to_grant(Path(id): Path<String>) -> Result<Redirect> {
    let id = GrantId::parse(&id).ok_or(Error::NotFound)?;
    Ok(Redirect::to(&format!("/authorizations/{id}")))
}

pub async fn unblock(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    _: Form,
) -> Result<Redirect> {
    let card = card(&app, &signed_in, &id, app.clock.now()).await?;
    let by = signed_in.by(app.clock.now());
    let GrantCard { id: grant, client_id, .. } = card.grant;
    moderate::lift_block(&app.store, grant, client_id, signed_in.user.id, by).await?;
    Ok(Redirect::to(&format!("/authorizations/{id}")))
}

/// To the list, which says what ended; or to `otherwise` if it had already ended.
fn done(receipt: Option<ReceiptId>, otherwise: &str) -> Redirect {
    match receipt {
        Some(receipt) => Redirect::to(&format!("/authorizations?receipt={receipt}")),
        None => Redirect::to(otherwise),
    }
}

fn asking(form: &Params) -> Asking {
    if form.get("block") == Some("1") { Asking::Blocked } else { Asking::Allowed }
}

fn chosen(fields: &Params) -> Result<Vec<GrantId>> {
    let mut chosen = fields
        .all("grant_id")
        .map(|id| GrantId::parse(id).ok_or(Error::NotFound))
        .collect::<Result<Vec<_>>>()?;
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

pub async fn revoke_several_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Query(query): Query,
) -> Result<Response> {
    let now = app.clock.now();
    let page = signed_in.page(Section::Authorizations, now);
    let scopes = app.store.scopes().await?;
    let open = app.store.grant_cards(&signed_in.user.id, now).await?;
    let mut cards: Vec<Card> = open.into_iter().map(|grant| Card::new(grant, &scopes, now)).collect();
    let is_all = query.get("all") == Some("1");
    if !is_all {
        let chosen = chosen(&query)?;
        cards.retain(|card| chosen.binary_search(&card.grant.id).is_ok());
    }
    if cards.is_empty() {
        return Ok(Redirect::to("/authorizations?none=1").into_response());
    }
    let extent = if is_all { Extent::All } else { Extent::Several };
    Ok(RevokePage::new(&app, page, cards, extent, now).await?.into_response())
}

pub async fn revoke_several(
    State(app): State<App>,
    signed_in: SignedIn,
    Form(form): Form,
) -> Result<Redirect> {
    let by = signed_in.by(app.clock.now());
    let owner = signed_in.user.id;
    let receipt = if form.get("all") == Some("1") {
        revoke::all_grants(&app.store, owner, by).await?
    } else {
        let chosen = chosen(&form)?;
        if chosen.is_empty() {
            return Err(Error::BadRequest("error-nothing-chosen"));
        }
        revoke::grants(&app.store, owner, chosen, asking(&form), by).await?
    };
    Ok(done(receipt, "/authorizations"))
}

#[derive(Template, WebTemplate)]
#[template(path = "authorizations/device.html")]
pub struct DevicePage {
    page: Page,
    /// How long it may take.
    worst_case: String,
    card: Card,
    device: Device,
}

pub async fn device_page(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((id, family)): Path<(String, String)>,
) -> Result<Response> {
    let now = app.clock.now();
    let card = card(&app, &signed_in, &id, now).await?;
    let family = FamilyId::parse(&family).ok_or(Error::NotFound)?;
    let devices = app.store.devices(&card.grant.id, &signed_in.user.id, now).await?;
    match devices.into_iter().find(|device| device.id == family) {
        Some(device) => {
            let page = signed_in.page(Section::Authorizations, now);
            let worst_case = worst_case_of(&app, std::slice::from_ref(&card), now).await?;
            Ok(DevicePage { page, worst_case, card, device }.into_response())
        }
        None => Ok(Redirect::to(&format!("/authorizations/{id}")).into_response()),
    }
}

/// Reading the form refuses one that was made for another account.
pub async fn sign_device_out(
    State(app): State<App>,
    signed_in: SignedIn,
    Path((id, family)): Path<(String, String)>,
    _: Form,
) -> Result<Redirect> {
    let grant = GrantId::parse(&id).ok_or(Error::NotFound)?;
    let family = FamilyId::parse(&family).ok_or(Error::NotFound)?;
    let by = signed_in.by(app.clock.now());
    let receipt = revoke::device(&app.store, signed_in.user.id, grant, family, by).await?;
    Ok(match receipt {
        Some(receipt) => Redirect::to(&format!("/authorizations/{id}?receipt={receipt}")),
        None => Redirect::to(&format!("/authorizations/{id}")),
    })
}

/// Where apps send their users; the same answer for unknown, deleted and never authorized apps.
pub async fn of_client(
    State(app): State<App>,
    signed_in: SignedIn,
    Path(id): Path<String>,
) -> Result<Response> {
    let grant = match ClientId::parse(&id) {
        Some(client) => app.store.open_grant_with(&signed_in.user.id, &client).await?,
        None => None,
    };
    Ok(match grant {
        Some(grant) => Redirect::to(&format!("/authorizations/{grant}")).into_response(),
        None => crate::web::error::page(axum::http::StatusCode::NOT_FOUND, "error-no-authorization", None),
    })
}
