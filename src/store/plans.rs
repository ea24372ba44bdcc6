//! How SQLite finds rows: every statement that runs often, or over many rows, goes by an index.

use rusqlite::Connection;

use super::{
    access_tokens, authorization_codes, clients, drill, expired, families, feed, grants, guards, purges,
    readings, receipts, refresh_tokens, revoked_tokens, sessions, tokens,
};

/// Tables that grow with use; the others hold a few rows, or one.
const LARGE: [&str; 11] = [
    "authorization_codes",
    "client_secrets",
    "clients",
    "confirmations",
    "families",
    "grants",
    "ledger",
    "purges",
    "revoked_tokens",
    "sessions",
    "tokens",
];

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
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

/// The table that a `SCAN` line names; statements call tables by their first letter.
fn scanned<'a>(statement: &'a str, line: &'a str) -> Option<&'a str> {
    let name = line.strip_prefix("SCAN ")?.split(' ').next()?;
    let aliased = |table: &&&str| statement.contains(&format!("{table} AS {name}"));
    Some(LARGE.iter().find(aliased).copied().unwrap_or(name))
}

#[test]
fn no_statement_scans_a_table_that_grows() {
    let connection = database();
    let statements = [
        access_tokens::STATEMENTS,
        authorization_codes::STATEMENTS,
        clients::STATEMENTS,
        drill::STATEMENTS,
        families::STATEMENTS,
        feed::STATEMENTS,
        grants::STATEMENTS,
        guards::STATEMENTS,
        readings::STATEMENTS,
        receipts::STATEMENTS,
        refresh_tokens::STATEMENTS,
        revoked_tokens::STATEMENTS,
        sessions::STATEMENTS,
        tokens::STATEMENTS,
    ];
    let all = statements.into_iter().flatten().copied().chain(purges::statements());
    let all = all.chain(expired::statements());
    for statement in all {
        for line in plan(&connection, statement) {
            // A partial index that holds unfinished work alone may be walked from its beginning.
            let is_queue = line.contains("USING INDEX purges_in_turn");
            let scanned = scanned(statement, &line).filter(|table| LARGE.contains(table));
            assert!(scanned.is_none() || is_queue, "{line}\n{statement}");
        }
    }
}

#[test]
fn the_next_purge_is_found_without_sorting_all_that_wait() {
    let connection = database();
    let lines = plan(&connection, purges::NEXT);
    assert!(!lines.iter().any(|line| line.contains("TEMP B-TREE")), "{lines:?}");
}
