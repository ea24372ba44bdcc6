//! Killed while it makes or brings up the schema: the next start finishes it.

use std::os::unix::process::ExitStatusExt;

use rusqlite::types::Value;

use crate::engine::database::is_postgres;
use crate::killing::CrashSite;

/// A command that makes the database where there is none.
const COMMAND: [&str; 5] = ["resource-server", "add", "Photos", "--audience", "urn:photos"];

/// Everything that a migration makes.
fn schema(place: &CrashSite) -> Vec<Vec<Value>> {
    place.open().rows(
        if is_postgres() {
            "SELECT table_name::text, column_name::text, data_type || is_nullable || coalesce(column_default, '') \
                FROM information_schema.columns WHERE table_schema = 'public' \
             UNION ALL SELECT tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public' \
             UNION ALL SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint \
                WHERE connamespace = 'public'::regnamespace \
             UNION ALL SELECT 'migrations', version::text, NULL FROM migrations ORDER BY 1, 2, 3"
        } else {
            "SELECT name, sql FROM sqlite_schema ORDER BY name"
        },
        &[],
    )
}

#[test]
fn a_crash_in_a_migration_is_made_good_by_the_next_start() {
    let undisturbed = CrashSite::without_tables();
    assert_eq!(undisturbed.run(&COMMAND).exit, 0);
    let meant = schema(&undisturbed);
    let mut deaths = 0;
    let mut step: u32 = 1;
    loop {
        let place = CrashSite::without_tables();
        let ended = place.dies_at(&format!("migration.step:{step}"), &COMMAND);
        if ended.signal().is_none() {
            assert!(ended.success(), "{ended}");
            break;
        }
        deaths += 1;
        step += step.div_ceil(2);
        assert_eq!(place.run(&COMMAND).exit, 0, "after a death at step {step}");
        assert_eq!(schema(&place), meant, "after a death at step {step}");
        place.is_sound("a migrated database");
    }
    // On PostgreSQL all of it is one transaction, and a step is one file.
    assert!(deaths >= if is_postgres() { 3 } else { 8 }, "only {deaths} steps");
    let place = CrashSite::without_tables();
    assert_eq!(place.dies_at("migration.done", &COMMAND).signal(), Some(9));
    assert_eq!(place.run(&COMMAND).exit, 0);
    assert_eq!(schema(&place), meant);
}
