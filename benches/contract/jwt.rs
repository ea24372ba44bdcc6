//! JWTs of the seeded devices, signed with the server's own key before it starts.

use std::time::Duration;

use anyhow::{Context, Result};
use rescind::app::App;
use rescind::clock::Clock;
use rescind::config::Config;
use rescind::jwt::claims::{Claims, NewClaims};
use rescind::jwt::token::Jwt;
use rescind::model::id::{FamilyId, GrantId, UserId};
use rescind::model::scope::Scope;
use rescind::model::secret::RefreshToken;
use rescind::model::stamp::{Generations, Stamp};
use rescind::store::Store;
use rescind::store::tokens::{Kind, NEIGHBOURS, first_place, stored_digest};
use rusqlite::{Connection, Row, params};

use crate::seed::World;

const LIFE: Duration = Duration::from_secs(3600);
const STAMP: &str = "SELECT 'fam_' || family_id, 'grt_' || grant_id, 'usr_' || user_id FROM tokens \
    WHERE place >= ?1 AND place < ?2 AND digest = ?3";

/// A device of the large client.
pub struct Device {
    pub jwt: String,
    pub refresh_token: String,
}

/// A JWT for each of the large client's devices, at most `most` of them.
pub async fn devices(world: &World, issuer: &str, most: usize) -> Result<Vec<Device>> {
    let app = App::new(Config::read(&|_| None)?, Store::open(&world.database).await?, Clock::System)?;
    let now = app.clock.now();
    app.keys.prepare(&app.store, now).await?;
    let signing = app.keys.signing(&app.store).await?;
    app.store.close().await;
    let key = signing.at(now)?;
    let scope = Scope::parse("read").context("a scope")?;
    let database = Connection::open(&world.database)?;
    let mut stamps = database.prepare(STAMP)?;
    let lines = std::fs::read_to_string(world.file("large", "refresh"))?;
    let sign = |line: &str| {
        let digest = RefreshToken::parse(line).context("a refresh token")?.digest();
        let place = first_place(&digest, Kind::Refresh);
        let found = params![place, place + NEIGHBOURS, stored_digest(&digest)];
        let ids = |row: &Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
        let [family, grant, user]: [String; 3] = stamps.query_row(found, ids)?;
        let stamp = Stamp {
            family: FamilyId::parse(&family),
            grant: GrantId::parse(&grant),
            client: world.large.clone(),
            user: UserId::parse(&user),
            generations: Generations { server: 1, client: 1, user: Some(1) },
        };
        let allows = NewClaims {
            issuer,
            audience: "https://api.example",
            scope: &scope,
            stamp: &stamp,
            grant_generation: Some(1),
        };
        let jwt = Jwt::sign(&Claims::new(allows, now, LIFE), key).context("a signature")?;
        Ok(Device { jwt: jwt.expose().to_owned(), refresh_token: line.to_owned() })
    };
    lines.lines().take(most).map(sign).collect()
}

/// Writes a JWT of each device where `World::jwt_introspection` finds it.
pub async fn sign_all(world: &World, issuer: &str) -> Result<()> {
    let devices = devices(world, issuer, usize::MAX).await?;
    let lines: Vec<&str> = devices.iter().map(|device| device.jwt.as_str()).collect();
    std::fs::write(world.file("large", "jwt"), lines.join("\n"))?;
    Ok(())
}
