//! Tests of query plans: statements find rows of large tables by an index.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, StatementStatus};

use crate::clock::Timestamp;

use crate::store::sqlite::statements;
use crate::store::tokens::Kind;
use crate::store::{feed, purges, tokens};

/// Tables that grow with use. The others hold few rows, or one.
const LARGE: [&str; 21] = [
    "audit",
    "authorization_codes",
    "banned_domains",
    "blocks",
    "client_changes",
    "client_secrets",
    "client_texts",
    "clients",
    "confirmations",
    "families",
    "grants",
    "guard_instances",
    "jwt_spells",
    "ledger",
    "purges",
    "receipt_notes",
    "revoked_tokens",
    "sessions",
    "tokens",
    "user_texts",
    "users",
];

/// Statements that may read every row of such a table: the file, and a part of the statement.
const MAY_SCAN: [(&str, &str); 9] = [
    // Once at each start.
    ("texts.rs", "WHERE NOT EXISTS"),
    // Admins search in names, one page at a time.
    ("user_lists.rs", "ORDER BY u.username LIMIT 51"),
    ("client_lists.rs", "LIMIT 51 OFFSET"),
    // The last row.
    ("dead.rs", "SELECT at FROM ledger ORDER BY sequence DESC LIMIT 1"),
    // A restoration needs all rows.
    ("copies.rs", "FROM ledger WHERE act <> 'database_restored'"),
    ("copies.rs", "DELETE FROM tokens"),
    ("copies.rs", "DELETE FROM sessions"),
    ("copies.rs", "DELETE FROM families"),
    ("copies.rs", "DELETE FROM authorization_codes"),
];

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
    }
    connection
}

fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let count = explain.parameter_count();
    explain
        .query_map(rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count)), |row| {
            row.get("detail")
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The table that a `SCAN` line names. The line may have an alias instead, such as `ledger AS l`.
fn scanned<'a>(statement: &'a str, line: &'a str) -> Option<&'a str> {
    let name = line.strip_prefix("SCAN ")?.split(' ').next()?;
    let aliased = |table: &&&str| statement.contains(&format!("{table} AS {name}"));
    Some(LARGE.iter().find(aliased).copied().unwrap_or(name))
}

#[test]
fn no_statement_scans_a_table_that_grows() {
    let connection = database();
    let statements = statements::all();
    assert!(statements.len() > 150, "{} found", statements.len());
    let mut scans = Vec::new();
    for (file, statement) in &statements {
        for line in plan(&connection, statement) {
            // This partial index holds only unfinished work, so it may be read from its beginning.
            let is_queue = line.contains("USING INDEX purges_in_turn");
            let scanned = scanned(statement, &line).filter(|table| LARGE.contains(table));
            let is_meant = MAY_SCAN.iter().any(|(of, part)| of == file && statement.contains(part));
            if scanned.is_some() && !is_queue && !is_meant {
                scans.push(format!("{file}: {line}\n{statement}\n"));
            }
        }
    }
    assert!(scans.is_empty(), "{}", scans.join("\n"));
}

#[test]
fn a_stream_resumes_without_reading_entries_for_other_apis() {
    let connection = database();
    let rows = |audiences: &str, number: u32| {
        let insert = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) INSERT INTO ledger \
             (receipt_id, at, act, actor_kind, origin, subject_kind, subject_id, audiences) \
             SELECT 'rcp_1', 1, 'app_revoked', 'user', 'page', 'grant', 'grt_1', {audiences} FROM n"
        );
        connection.execute(&insert, []).unwrap();
    };
    for audiences in ["'mail'", "''", "'mail notes'", "'photos'", "NULL", "'mail photos'", "'mail'"] {
        rows(audiences, if audiences == "NULL" || audiences.contains("photos") { 1 } else { 50_000 });
    }
    for set in [Some("photos"), None, Some("mail photos")] {
        let mut statement = connection.prepare(feed::OF_SET).unwrap();
        let found =
            statement.query((set, 10, 300_000, 256)).unwrap().mapped(|row| row.get::<_, Option<String>>(5));
        assert_eq!(found.map(Result::unwrap).collect::<Vec<_>>(), [set.map(str::to_owned)]);
        assert!(statement.get_status(StatementStatus::VmStep) < 100, "{set:?}");
    }
}

#[test]
fn the_next_purge_is_found_without_sorting_the_queue() {
    let connection = database();
    let lines = plan(&connection, purges::NEXT);
    assert!(!lines.iter().any(|line| line.contains("TEMP B-TREE")), "{lines:?}");
}

#[test]
fn tokens_of_one_kind_in_a_family_are_found_without_reading_the_other_kind() {
    let connection = database();
    let born = Timestamp::from_millis(1_790_000_000_000);
    let refresh = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
        INSERT INTO tokens (place, digest, family_id, client_id, server_generation, client_generation, scope, expires_at) \
        SELECT ?1 + i, x'', 'f', 'c', 1, 1, '', 0 FROM n";
    connection.execute(refresh, [tokens::places(born, Kind::Refresh).start]).unwrap();
    let access = tokens::places(born, Kind::Access);
    let of_range = |statement: &&str| statement.contains("FROM tokens WHERE place >= ?1 AND place < ?2");
    let mut tried = 0;
    let all = statements::all();
    for statement in all.iter().map(|(_, statement)| &**statement).filter(of_range) {
        let mut statement = connection.prepare(statement).unwrap();
        statement.raw_bind_parameter(1, access.start).unwrap();
        statement.raw_bind_parameter(2, access.end).unwrap();
        statement.raw_bind_parameter(3, "fam_f").unwrap();
        if statement.parameter_count() == 4 {
            statement.raw_bind_parameter(4, 0).unwrap();
        }
        assert!(statement.raw_query().next().unwrap().is_none());
        assert!(statement.get_status(StatementStatus::VmStep) < 100);
        tried += 1;
    }
    assert_eq!(tried, 2);
}
