//! The same endpoints on PostgreSQL. The database server shares the processors with everything else.

use anyhow::{Result, ensure};

use crate::load::{Latencies, Sent};
use crate::seed::World;
use crate::{JWT_INTROSPECTION, PORT, ROUNDS, Rows, Running, alternate, jwt, rescind};

/// Fills the empty database at `url`, and measures a server on it.
pub fn measure(runtime: &tokio::runtime::Runtime, rows: &Rows, tokens: usize, url: &str) -> Result<()> {
    let world = World::make(runtime, tokens)?;
    runtime.block_on(jwt::sign_all(&world, &format!("http://127.0.0.1:{PORT}")))?;
    ensure!(rescind(&world.database, PORT).args(["migrate", "--to", url]).status()?.success(), "migrate");
    let mut server = rescind(&world.database, PORT);
    server.env("RESCIND_KEY_FILE", world.database.with_added_extension("key"));
    let server = Running::start(server.env("RESCIND_DATABASE_URL", url).arg("serve"), PORT)?;
    let name = format!("introspection, {tokens} tokens");
    if rows.hold(&name) {
        alternate(&[(
            &format!("{name}, for the first time"),
            &world.introspection(PORT, Sent::Once { seconds: 2 }),
        )])?;
        let again = world.introspection(PORT, Sent::Again);
        for round in 0..ROUNDS {
            // All that have not been asked for yet.
            again.run(round)?;
        }
        alternate(&[(&name, &again)])?;
    }
    rows.measure(JWT_INTROSPECTION, &world.jwt_introspection(PORT))?;
    rows.measure("client_credentials, durable", &world.client_credentials(PORT))?;
    rows.measure("refresh with rotation, durable", &world.refresh(PORT))?;
    rows.measure("RFC 7009 revocation, durable", &world.revocation(PORT))?;
    println!("| memory after load, MiB | {:.1} |", server.memory()?);
    if rows.hold("revoke all") {
        runtime.block_on(revoke_all(&world))?;
    }
    Ok(())
}

async fn revoke_all(world: &World) -> Result<()> {
    let developer = world.developer(PORT).await?;
    let (mut large, mut small) = (Latencies::default(), Latencies::default());
    for _ in 0..200 {
        small.add(developer.revoke_all(&world.small).await?);
        large.add(developer.revoke_all(&world.large).await?);
    }
    println!("| revoke all of the large client, 200 rounds, ms | {large} |");
    println!("| revoke all of a client with ten tokens, ms | {small} |");
    Ok(())
}
