//! `POST /revocations/ack`: a validator says what it has applied, and the answer says what there is.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rescind_guard::wire::{Ack, Acknowledged, Seen};
use serde_json::{Map, Value};

use crate::app::App;
use crate::clock::Timestamp;
use crate::feed::stream::gap;
use crate::model::id::{FamilyId, GrantId};
use crate::model::resource_server::ResourceServer;
use crate::oauth::client_auth::ProvenServer;
use crate::oauth::error::{Code, Error};
use crate::service::acknowledge::{self, Lease};
use crate::service::guards::Acknowledgement;

/// Room for a thousand reports.
const LARGEST_BODY: usize = 256 * 1024;
const MOST_SEEN: usize = 1_000;
/// Integers up to this are exact in every language (RFC 8259 §6).
const LARGEST_INTEGER: u64 = (1 << 53) - 1;

pub async fn acknowledge(
    State(app): State<App>,
    caller: ProvenServer,
    request: Request,
) -> Result<Response, Error> {
    let ack = read(request.into_body()).await?;
    // Read after the body: a body that arrives slowly must not make a confirmation look faster than it was.
    let now = app.clock.now();
    let caller = caller.confirmed(&app, now).await?;
    if ack.incarnation != app.feed.incarnation(&app.store).await? {
        return Ok(gap(StatusCode::CONFLICT));
    }
    if i64::try_from(ack.through).is_ok_and(|through| through > *app.feed.position().borrow()) {
        // The guard is connected to a server that is ahead of this one.
        app.feed.reached(&app.store).await?;
    }
    lease(&app, &caller, &ack, now).await?;
    note_uses(&app, &caller, ack.seen, now).await?;
    // Read after the request arrived. If the database can't be read, the guard gets no answer, so it does not become
    // fresh.
    let tip = app.feed.reached(&app.store).await?;
    let answer = Acknowledged {
        incarnation: tip.incarnation,
        through: app.feed.head_of(&caller.audience).unsigned_abs(),
        keys_version: tip.keys_version,
        max_staleness: caller.guarding.max_staleness.seconds(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Lets the guard go on. A new lease is written before the answer, because the server must know it after a restart, and
/// other servers must know it at once.
async fn lease(app: &App, caller: &ResourceServer, ack: &Ack, now: Timestamp) -> Result<(), Error> {
    let acknowledged = Acknowledgement {
        through: i64::try_from(ack.through).unwrap_or(i64::MAX),
        keys_version: ack.keys_version,
        at: now,
    };
    acknowledge::look_up(&app.guards, &app.store, caller, &ack.instance, now).await?;
    let lease = app.guards.acknowledged(caller, &ack.instance, acknowledged);
    if ack.leaving {
        return Ok(acknowledge::leave(&app.guards, &app.store, caller, &ack.instance, now).await?);
    }
    if matches!(lease, Lease::TooMany) {
        tracing::warn!(resource_server.id = %caller.id, "guards.too_many");
        let why = "instance: this resource server has too many; try again";
        return Err(Error::new(Code::TemporarilyUnavailable, why));
    }
    Ok(acknowledge::write_lease(&app.guards, &app.store, lease, now).await?)
}

/// Notes which grants' tokens the guard's API has accepted. Reports about grants that allow nothing there are ignored.
async fn note_uses(app: &App, caller: &ResourceServer, seen: Vec<Seen>, now: Timestamp) -> Result<(), Error> {
    for (place, Seen { grant_id, family_id, at }) in seen.into_iter().enumerate() {
        let (Some(grant), Some(family)) = (GrantId::parse(&grant_id), FamilyId::parse(&family_id)) else {
            continue;
        };
        let audiences = app.store.device_audiences(&family, &grant).await?;
        if audiences.is_some_and(|audiences| audiences.concern(&caller.audience)) {
            let at = Timestamp::from_millis(at.saturating_mul(1000)).min(now);
            app.last_used.note_device(&family, &grant, at);
        }
        // A thousand look-ups take some milliseconds, so other requests get the thread in between.
        if place % 64 == 63 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

async fn read(body: Body) -> Result<Ack, Error> {
    let body = to_bytes(body, LARGEST_BODY).await;
    let body = body.map_err(|_| Error::invalid_request("the body is larger than 256 KiB, or was cut off"))?;
    let body: Value =
        serde_json::from_slice(&body).map_err(|_| Error::invalid_request("the body is not JSON"))?;
    let body = body.as_object().ok_or_else(|| Error::invalid_request("the body is not a JSON object"))?;
    parse(body)
}

/// Unknown members are ignored.
fn parse(body: &Map<String, Value>) -> Result<Ack, Error> {
    let instance = text(body, "instance")?;
    let is_instance = (16..=64).contains(&instance.len())
        && instance.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !is_instance {
        return Err(Error::invalid_request("instance: 16 to 64 characters of 0-9A-Za-z_- are expected"));
    }
    let leaving = match body.get("leaving") {
        None => false,
        Some(leaving) => {
            leaving.as_bool().ok_or_else(|| Error::invalid_request("leaving: true or false is expected"))?
        }
    };
    Ok(Ack {
        instance,
        incarnation: integer(body, "incarnation")?,
        through: integer(body, "through")?,
        keys_version: integer(body, "keys_version")?,
        seen: seen(body)?,
        leaving,
    })
}

fn seen(body: &Map<String, Value>) -> Result<Vec<Seen>, Error> {
    let Some(seen) = body.get("seen") else { return Ok(Vec::new()) };
    let seen = seen.as_array().filter(|seen| seen.len() <= MOST_SEEN);
    let seen = seen.ok_or_else(|| Error::invalid_request("seen: an array of at most 1000 is expected"))?;
    let report = |(place, report): (usize, &Value)| {
        let report = report.as_object();
        let report =
            report.ok_or_else(|| Error::invalid_request(format!("seen.{place}: an object is expected")))?;
        let named = |error: Error| Error::invalid_request(format!("seen.{place}.{}", error.description));
        Ok(Seen {
            grant_id: text(report, "grant_id").map_err(named)?,
            family_id: text(report, "family_id").map_err(named)?,
            at: integer(report, "at").map_err(named)?.cast_signed(),
        })
    };
    seen.iter().enumerate().map(report).collect()
}

fn text(object: &Map<String, Value>, member: &str) -> Result<String, Error> {
    let text = object.get(member).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| Error::invalid_request(format!("{member}: a string is expected")))
}

fn integer(object: &Map<String, Value>, member: &str) -> Result<u64, Error> {
    let number = object.get(member).and_then(Value::as_u64).filter(|number| *number <= LARGEST_INTEGER);
    number
        .ok_or_else(|| Error::invalid_request(format!("{member}: an integer from 0 to 2^53 - 1 is expected")))
}
