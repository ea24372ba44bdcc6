//! The same endpoints on PostgreSQL. The database server shares the processors with everything else.

use anyhow::{Result, ensure};

use crate::load::{Latencies, Sent};
use crate::seed::World;
use crate::{PORT, ROUNDS, Rows, Running, alternate, jwt, other_endpoints, rescind, revoke_again};

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
    other_endpoints(rows, &world, &server)?;
    if rows.hold("revoke all") {
        runtime.block_on(revoke_all(&world))?;
    }
    Ok(())
}

async fn revoke_all(world: &World) -> Result<()> {
    let developer = world.developer(PORT).await?;
    let mut large = Latencies::default();
    large.add(developer.revoke_all(&world.large).await?);
    revoke_again(&developer, world, large).await
}
