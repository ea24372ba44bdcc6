//! Killed while it makes or brings up the schema: the next start finishes it.

use std::os::unix::process::ExitStatusExt;

use crate::program::Place;

/// A command that makes the database where there is none.
const COMMAND: [&str; 5] = ["resource-server", "add", "Photos", "--audience", "urn:photos"];

fn schema(place: &Place) -> Vec<(String, Option<String>)> {
    let database = place.open();
    let mut schema = database.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_crash_in_a_migration_is_made_good_by_the_next_start() {
    let undisturbed = Place::new();
    assert_eq!(undisturbed.run(&COMMAND).exit, 0);
    let meant = schema(&undisturbed);
    let mut deaths = 0;
    let mut step: u32 = 1;
    loop {
        let place = Place::new();
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
    assert!(deaths >= 8, "only {deaths} steps");
    let place = Place::new();
    assert_eq!(place.dies_at("migration.done", &COMMAND).signal(), Some(9));
    assert_eq!(place.run(&COMMAND).exit, 0);
    assert_eq!(schema(&place), meant);
}
