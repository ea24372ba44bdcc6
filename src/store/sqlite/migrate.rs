//! Brings the schema of a file to this version.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use crate::store::{BUSY, Result};

pub(in crate::store) async fn migrate(path: &Path) -> Result<()> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1);
    #[cfg(feature = "fail-points")]
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move {
            let step = || {
                crate::fail::point("migration.step");
                true
            };
            connection.lock_handle().await?.set_progress_handler(10, step);
            Ok(())
        })
    });
    let pool = pool.connect_with(options).await?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await?;
    crate::fail::point("migration.done");
    pool.close().await;
    Ok(())
}
