//! An upgrade of one server after the other: which migrations are allowed, what a running server of the older version
//! makes of them, and what a newer one does with an older schema.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;

use crate::cluster::database::{Database, shared_database};
use crate::cluster::query;
use crate::node::{Node, Site, place_at};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The first migration makes the whole schema. Those after it meet servers of the version before.
fn later_migrations() -> impl Iterator<Item = (i64, &'static str)> {
    MIGRATIONS.iter().skip(1).map(|migration| (migration.version, migration.sql.as_str()))
}

/// The statements of a file, without comments, with one space between words.
fn statements(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap());
    let text = lines.collect::<Vec<_>>().join(" ");
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// What a server of the version before could not live with; `made` are the tables that the same migration makes.
///
/// # Errors
/// Why it is refused.
fn allow(statement: &str, made: &mut BTreeSet<String>) -> Result<(), &'static str> {
    let upper = statement.to_uppercase();
    let words: Vec<&str> = statement.split([' ', '(']).collect();
    let follows = |before: &str| {
        let at = words.iter().position(|word| word.eq_ignore_ascii_case(before));
        at.and_then(|at| words.get(at + 1)).map_or_else(String::new, |word| (*word).to_owned())
    };
    if upper.starts_with("CREATE TABLE ") || upper.starts_with("CREATE UNLOGGED TABLE ") {
        made.insert(follows("TABLE"));
        return Ok(());
    }
    if upper.starts_with("ALTER TABLE ") {
        if made.contains(words[2]) {
            return Ok(());
        }
        if !upper.contains(" ADD COLUMN ") || upper.matches(',').count() > 0 {
            return Err("a table of the version before may only get columns, one in each statement");
        }
        let is_filled = upper.contains(" DEFAULT ") && !upper.contains('(');
        if upper.contains(" NOT NULL") && !is_filled {
            return Err(
                "a column needs a constant default, or to be without NOT NULL: older servers don't fill it",
            );
        }
        let restricts = [" UNIQUE", " PRIMARY KEY", " CHECK", " REFERENCES", " GENERATED"];
        if restricts.iter().any(|word| upper.contains(word)) {
            return Err("a column must not refuse what older servers write");
        }
        return Ok(());
    }
    if upper.starts_with("CREATE INDEX ") {
        return Ok(());
    }
    if upper.starts_with("CREATE UNIQUE INDEX ") || upper.starts_with("CREATE TRIGGER ") {
        let is_new = made.contains(&follows("ON"));
        return if is_new { Ok(()) } else { Err("it may refuse what older servers write") };
    }
    if upper.starts_with("INSERT INTO ") {
        return if made.contains(words[2]) { Ok(()) } else { Err("older servers don't know such rows") };
    }
    Err("it is not on the list of what older servers can live with")
}

#[test]
fn migrations_only_add_what_servers_of_the_version_before_can_live_with() {
    for (version, sql) in later_migrations() {
        let mut made = BTreeSet::new();
        for statement in statements(sql) {
            if let Err(why) = allow(&statement, &mut made) {
                panic!("migration {version}: {why} (docs/scaling.md): {statement}");
            }
        }
    }
}

#[test]
fn the_rule_about_migrations_refuses_what_breaks_older_servers() {
    for refused in [
        "DROP TABLE blocks",
        "ALTER TABLE users DROP COLUMN email",
        "ALTER TABLE users RENAME COLUMN email TO mail",
        "ALTER TABLE users RENAME TO people",
        "ALTER TABLE users ADD COLUMN a BIGINT NOT NULL",
        "ALTER TABLE users ADD COLUMN a BIGINT NOT NULL DEFAULT random()",
        "ALTER TABLE users ADD COLUMN a BIGINT, DROP COLUMN email",
        "ALTER TABLE users ADD COLUMN a TEXT UNIQUE",
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL",
        "ALTER TABLE users ADD CONSTRAINT named CHECK (email <> '')",
        "CREATE UNIQUE INDEX emails ON users (email)",
        "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse('no')",
        "UPDATE users SET role = 'owner'",
        "DELETE FROM blocks",
        "INSERT INTO server VALUES (2, 1)",
    ] {
        assert!(allow(refused, &mut BTreeSet::new()).is_err(), "{refused}");
    }
    let mut made = BTreeSet::new();
    for allowed in [
        "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
        "CREATE UNIQUE INDEX notes_by_text ON notes (text)",
        "INSERT INTO notes VALUES (1, 'a')",
        "ALTER TABLE users ADD COLUMN a TEXT",
        "ALTER TABLE users ADD COLUMN a BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX users_by_email ON users (email)",
    ] {
        assert_eq!(allow(allowed, &mut made), Ok(()), "{allowed}");
    }
}

/// One round of what apps and people do; everything has to succeed.
async fn round(node: &Node, other: &Node) {
    let visitor = node.visitor();
    let cookie = visitor.sign_in().await;
    let device = visitor.authorize(&cookie).await;
    let refreshed: serde_json::Value = visitor.refresh(&device.refresh).await.json().await.unwrap();
    let token = refreshed["access_token"].as_str().unwrap().to_owned();
    assert_eq!(other.is_active(&token).await, Ok(true));
    for path in ["/authorizations", "/account", "/apps"] {
        let status = visitor.page(&cookie, path).await.status();
        assert!([200, 403].contains(&status.as_u16()), "{path}: {status}");
    }
    let own = node.token().await.unwrap();
    assert_eq!(other.is_active(&own).await, Ok(true));
    for revoked in [&token, &own] {
        assert_eq!(other.revoke(revoked).await, 200);
        assert_eq!(node.is_active(revoked).await, Ok(false));
    }
}

/// The next version's first server adds to every table what the rule allows, while two of this version are at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn running_servers_go_on_when_a_newer_version_has_migrated() {
    let database = shared_database();
    let site = Site::new(&database.url);
    let nodes = Arc::new([site.serve(), site.serve()]);
    round(&nodes[0], &nodes[1]).await;

    let (is_over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let at_work = tokio::spawn({
        let (nodes, is_over, rounds) = (nodes.clone(), is_over.clone(), rounds.clone());
        async move {
            while !is_over.load(Ordering::SeqCst) {
                round(&nodes[0], &nodes[1]).await;
                round(&nodes[1], &nodes[0]).await;
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let tables = database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    let mut steps =
        vec!["CREATE TABLE newer (id BIGINT PRIMARY KEY); INSERT INTO newer VALUES (1)".to_owned()];
    steps.extend(tables.lines().map(|table| {
        format!(
            "ALTER TABLE {table} ADD COLUMN newer_text TEXT; \
             ALTER TABLE {table} ADD COLUMN newer_number BIGINT NOT NULL DEFAULT 7; \
             CREATE INDEX newer_{table} ON {table} (newer_number)"
        )
    }));
    let mut made = BTreeSet::new();
    assert!(steps.iter().flat_map(|step| statements(step)).all(|sql| allow(&sql, &mut made).is_ok()));
    steps.push("INSERT INTO migrations (version, checksum) VALUES (9999, 'x')".to_owned());
    let url = database.url.clone();
    let migrating = tokio::task::spawn_blocking(move || {
        for step in steps {
            // As the program does it.
            let step = format!("BEGIN; SET LOCAL lock_timeout = 300; {step}; COMMIT");
            let is_done = (0..50).any(|_| match query(&url, &step) {
                Ok(_) => true,
                Err(error) => {
                    assert!(error.contains("lock timeout") || error.contains("deadlock"), "{error}");
                    std::thread::sleep(Duration::from_millis(100));
                    false
                }
            });
            assert!(is_done, "{step}");
        }
    });
    migrating.await.unwrap();
    let after = rounds.load(Ordering::SeqCst) + 2;
    while rounds.load(Ordering::SeqCst) < after && !at_work.is_finished() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_over.store(true, Ordering::SeqCst);
    at_work.await.unwrap();

    // Connections that are opened later work too.
    database
        .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rescind'");
    let token = nodes[0].visitor();
    while token.client_token().await.status() != 200 {}
    round(&nodes[0], &nodes[1]).await;
}

/// Tables, columns and migrations of a database.
fn schema(url: &str) -> String {
    let columns = "SELECT string_agg(table_name || ' ' || column_name || ' ' || data_type, ',' ORDER BY 1) \
        FROM (SELECT table_name, column_name, data_type FROM information_schema.columns \
        WHERE table_schema = 'public' ORDER BY 1, 2) AS c (table_name, column_name, data_type)";
    let migrations =
        "SELECT string_agg(version || encode(checksum, 'hex'), ' ' ORDER BY version) FROM migrations";
    [columns, migrations].map(|sql| query(url, sql).unwrap()).concat()
}

/// The other order: an older version is not started on a newer schema, neither as a server nor for a command.
#[test]
fn a_server_of_the_version_before_is_not_started_again() {
    let database = shared_database();
    let place = place_at(&database.url);
    assert_eq!(place.run(&["user", "list", "--json"]).exit, 0);
    database.query(
        "ALTER TABLE users ADD COLUMN newer TEXT; INSERT INTO migrations (version, checksum) VALUES (9999, 'x')",
    );
    let before = schema(&database.url);
    let counts = "SELECT count(*) FROM users, head, server, migrations";
    let rows = database.query(counts);
    for arguments in [&["serve"][..], &["user", "list"], &["key", "rotate"]] {
        let ended = place.run(arguments);
        assert_eq!((ended.exit, ended.out.as_str()), (2, ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("migrated by a newer version of rescind"), "{}", ended.err);
    }
    assert_eq!(schema(&database.url), before);
    assert_eq!(database.query(counts), rows);
}

/// A database with an earlier schema: the next step after it changes a table.
fn older_database() -> Database {
    let older = MIGRATIONS.iter().filter(|step| step.version < 27);
    let database = shared_database();
    database.query("CREATE TABLE migrations (version BIGINT PRIMARY KEY, checksum BYTEA NOT NULL)");
    for step in older {
        database.query(step.sql.as_str());
        let checksum = step.checksum.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        database.query(&format!("INSERT INTO migrations VALUES ({}, '\\x{checksum}')", step.version));
    }
    database
}

/// What a server of the version before does in one transaction, which stays open for a while.
fn older_server(database: &Database, statements: &str, seconds: u32) -> JoinHandle<()> {
    let (url, sql) =
        (database.url.clone(), format!("BEGIN; {statements}; SELECT pg_sleep({seconds}); COMMIT"));
    let transaction = std::thread::spawn(move || assert!(query(&url, &sql).is_ok()));
    while database.query("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != "1" {}
    transaction
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_server_migrates_while_older_ones_use_the_tables() {
    let database = older_database();
    let transaction = older_server(
        &database,
        "INSERT INTO resource_servers (id, name, audience, secret_digest, created_at) \
         VALUES ('rse_1', 'a', 'a', '', 0); INSERT INTO guard_instances (resource_server_id, instance, through, \
         leased_until) VALUES ('rse_1', 'i', 0, 0)",
        1,
    );
    let site = Site::new(&database.url);
    // Both at the same time.
    let nodes = [site.serve(), site.serve()];
    transaction.join().unwrap();
    let newest = MIGRATIONS.iter().last().unwrap().version;
    assert_eq!(database.query("SELECT max(version) FROM migrations"), newest.to_string());
    assert_eq!(database.query("SELECT count(*) FROM guard_instances WHERE instance = 'i'"), "1");
    round(&nodes[0], &nodes[1]).await;
}

/// A table's lock waits for whoever reads it, and everybody else waits behind that lock.
#[test]
fn a_migration_that_waits_for_a_long_read_holds_nobody_up() {
    let database = older_database();
    let transaction = older_server(&database, "SELECT count(*) FROM guard_instances", 4);
    let place = place_at(&database.url);
    let migrating = std::thread::spawn(move || place.run(&["user", "list", "--json"]));
    let mut longest = Duration::ZERO;
    while !migrating.is_finished() {
        let began = Instant::now();
        database.query("SELECT count(*) FROM guard_instances");
        longest = longest.max(began.elapsed());
    }
    transaction.join().unwrap();
    let ended = migrating.join().unwrap();
    assert_eq!(ended.exit, 0, "{}", ended.err);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
