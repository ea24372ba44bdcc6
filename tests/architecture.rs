//! Who may import what: the rules of the layout, held against every line of `src/`. And whether the pages of
//! documentation lead where they say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file of `src/`: its module (`store/ledger` → `store`), and what of it is not test code.
struct File {
    path: String,
    module: String,
    text: String,
    code: String,
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files() -> Vec<File> {
    files_of("src")
}

fn files_of(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = path.trim_end_matches(".rs").split('/').next().unwrap().to_owned();
        let before_tests = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code = before_tests.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        File { path, module, text, code }
    };
    paths.into_iter().map(read).collect()
}

/// Modules that a file names after `prefix`, groups such as `crate::{oauth, web}` included.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let after_prefix = code.split(prefix).skip(1);
    after_prefix
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => {
                group.split('}').next().unwrap().split(',').map(|part| word(part.trim())).collect()
            }
            None => vec![word(rest)],
        })
        .collect()
}

/// From top to bottom; `super` never leaves its own module here, so `crate::` shows every import.
fn may_name(module: &str) -> &'static [&'static str] {
    match module {
        "main" | "lib" => &["cli"],
        "cli" => &[
            "app", "cli", "clock", "config", "demo", "model", "routes", "service", "sidecar", "store",
            "text", "thread",
        ],
        "demo" => &["app", "clock", "demo", "model", "service"],
        "sidecar" => &["config", "metrics", "model", "sidecar"],
        "routes" => &["app", "config", "feed", "metrics", "model", "oauth", "request", "web"],
        "feed" => &["app", "clock", "feed", "model", "oauth", "service", "store"],
        "web" => &[
            "app", "clock", "config", "metrics", "model", "oauth", "request", "service", "store", "text",
            "web",
        ],
        "oauth" => &["app", "clock", "config", "model", "oauth", "request", "service", "store"],
        "app" => &["app", "clock", "config", "metrics", "service", "store"],
        "config" => &["model", "service"],
        "service" => &["clock", "fail", "jwt", "metrics", "model", "service", "store"],
        "store" => &["clock", "fail", "metrics", "model", "store", "thread"],
        "text" => &["model"],
        "metrics" => &["thread"],
        "jwt" => &["clock", "jwt", "model"],
        "model" => &["clock", "model"],
        "request" => &["model"],
        _ => &[],
    }
}

#[test]
fn modules_import_downwards_only() {
    for File { path, module, code, .. } in files() {
        for name in named(&code, "crate::") {
            assert!(may_name(&module).contains(&name.as_str()), "{path} names crate::{name}");
        }
    }
}

/// Each file directly in `folder`, and the others there that it imports: as `prefix` and their name, or by `super::`.
fn imports(folder: &str, prefix: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut files = files_of(folder);
    // The root of a crate names all its modules, and they name what it declares.
    files.retain(|file| !file.path.contains('/') && !["lib.rs", "main.rs"].contains(&file.path.as_str()));
    let names: BTreeSet<String> = files.iter().map(|file| file.module.clone()).collect();
    let imported = |file: File| {
        let mut imported: BTreeSet<String> = &named(&file.code, prefix) | &named(&file.code, "super::");
        imported.remove(&file.module);
        (file.module, &imported & &names)
    };
    files.into_iter().map(imported).collect()
}

#[test]
fn files_of_one_folder_import_each_other_in_no_circle() {
    let meant = [
        // `Guard::layer` makes a layer, which holds the guard: users of tower look for it there.
        ("guard/src", "guard", "layer"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = std::fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().path());
    let rooms = rooms.filter(|path| path.is_dir());
    let rooms = rooms.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let mut folders: Vec<(String, String)> =
        rooms.map(|room| (format!("src/{room}"), format!("crate::{room}::"))).collect();
    let others =
        [("guard/src", "crate::"), ("guard/src/fuzz", "crate::fuzz::"), ("benches/contract", "crate::")];
    folders.extend(others.map(|(folder, prefix)| (folder.to_owned(), prefix.to_owned())));
    let mut circles = Vec::new();
    for (folder, prefix) in &folders {
        let mut imports = imports(folder, prefix);
        for (_, file, other) in meant.iter().filter(|(place, ..)| place == folder) {
            assert!(imports.get_mut(*file).unwrap().remove(*other), "{folder}: {file} imports no {other}");
        }
        for file in imports.keys() {
            let mut reached = imports[file].clone();
            while let Some(next) =
                reached.iter().flat_map(|file| &imports[file]).find(|next| !reached.contains(*next))
            {
                reached.insert(next.clone());
            }
            if reached.contains(file) {
                circles.push(format!("{folder}/{file}.rs imports {:?}", imports[file]));
            }
        }
    }
    assert!(circles.is_empty(), "files in circles:\n{}", circles.join("\n"));
}

#[test]
fn only_listed_sideways_imports_exist() {
    let meant = [
        // The request that the consent page stands for, and the Content-Type that both forms want.
        ("web", "crate::oauth", &["web/consent.rs", "web/form.rs", "web/sign_in.rs"][..]),
        // Resource servers authenticate, and read errors, as at introspection.
        ("feed", "crate::oauth", &["feed/ack.rs", "feed/snapshot.rs", "feed/stream.rs"][..]),
        // The one door, and the audit of the rest; registration hashes passwords as sign-in does; the feed tells guards' leases of
        // each row, and snapshots keep entries as long as it does; metrics ask how far guards are; attempts to sign in are
        // counted in memory first.
        (
            "service",
            "crate::service",
            &[
                "service/account.rs",
                "service/acknowledge.rs",
                "service/authorize.rs",
                "service/feed.rs",
                "service/guards.rs",
                "service/hand_over.rs",
                "service/issue.rs",
                "service/issue_context.rs",
                "service/keys.rs",
                "service/leases.rs",
                "service/moderate.rs",
                "service/readings.rs",
                "service/register.rs",
                "service/resource_servers.rs",
                "service/restore.rs",
                "service/revoke.rs",
                "service/shared_guards.rs",
                "service/sign_in.rs",
                "service/sign_in_attempts.rs",
                "service/snapshots.rs",
                "service/watched.rs",
            ][..],
        ),
        // Settings name the lives that issuing uses.
        ("config", "crate::service", &["config.rs"][..]),
    ];
    for (module, import, expected) in meant {
        let found: Vec<String> = files()
            .into_iter()
            .filter(|file| file.module == module && file.code.contains(import))
            .map(|file| file.path)
            .collect();
        assert_eq!(found, expected, "{import} in {module}");
    }
}

#[test]
fn each_outer_library_stays_where_it_belongs() {
    let homes: [(&str, &[&str]); 5] = [
        ("sqlx", &["store"]),
        ("rusqlite", &["store"]),
        ("tokio_postgres", &["store"]),
        ("axum", &["app", "cli", "demo", "feed", "oauth", "routes", "sidecar", "web"]),
        ("askama", &["demo", "web"]),
    ];
    for File { path, module, code, .. } in files() {
        for (library, modules) in homes {
            let is_named = code.contains(&format!("{library}::"));
            assert!(!is_named || modules.contains(&module.as_str()), "{path} names {library}");
        }
    }
}

/// Whether a file begins a write transaction, and not through `Store::act`.
fn writes(file: &File) -> bool {
    let code: String = file.code.split_whitespace().collect();
    code.contains("store.write(") || code.contains("store.write_after(")
}

#[test]
fn only_the_service_opens_write_transactions() {
    for file in files() {
        let File { path, module, code, .. } = &file;
        assert!(!writes(&file) || module == "service", "{path} writes");
        let takes_a_tx = code.contains("Tx<'_>");
        assert!(!takes_a_tx || ["service", "store"].contains(&module.as_str()), "{path} holds a transaction");
    }
}

#[test]
fn the_clock_is_read_in_one_place() {
    for File { path, code, .. } in files() {
        let reads = ["SystemTime::now", "now_utc", "UtcDateTime::now"].iter().any(|call| code.contains(call));
        assert_eq!(reads, path == "clock.rs", "{path}");
    }
}

/// What a page or a command does goes through `Store::act`, which checks in the same transaction that the person
/// still may. The protocol, sign-in and the workers stand on no session.
#[test]
fn verbs_of_pages_and_commands_check_who_acts_in_their_transaction() {
    let files = files();
    let verbs = files.iter().filter(|file| file.module == "service");
    let writers: Vec<_> = verbs.filter(|file| writes(file)).map(|file| file.path.as_str()).collect();
    let meant = [
        "service/acknowledge.rs",
        "service/drill.rs",
        "service/guards.rs",
        "service/issue.rs",
        "service/keys.rs",
        "service/last_used.rs",
        "service/purge.rs",
        "service/restore.rs",
        "service/sign_in.rs",
        "service/sign_in_attempts.rs",
    ];
    assert_eq!(writers, meant);
    for File { path, code, .. } in &files {
        let makes_one = code.contains("Origin::Page") || code.contains("page_session: Some");
        assert!(!makes_one || path == "model/by.rs", "{path}: only By::on_page makes an act of a page");
    }
}

/// What ends a credential stands in `Tx::revoke`, or in a place that the list at the top of `service/revoke.rs` names.
#[test]
fn credentials_end_only_in_the_listed_places() {
    let files = files();
    let door = files.iter().find(|file| file.path == "service/revoke.rs").unwrap();
    let mut named: BTreeSet<String> = ["service/revoke.rs".to_owned()].into();
    for line in door.text.lines().take_while(|line| line.starts_with("//!")) {
        let links = line.split("](super::").skip(1).filter_map(|rest| rest.split(')').next());
        named.extend(links.map(|module| format!("service/{module}.rs")));
    }
    assert!(named.len() > 5, "{named:?}");
    let ends = [
        "withdraw_signing_key",
        "expire_client_secrets",
        "delete_client_secrets",
        "rotate_resource_server_secret",
        "replace_resource_server_secret",
        "delete_resource_server",
        "delete_session",
        "delete_session_of",
        "change_password",
        "set_password",
    ];
    let statements = [
        "generation = generation + 1",
        "SET status = 'closed'",
        "SET status = 'ended'",
        "SET withdrawn_at",
        "DELETE FROM tokens",
        "DELETE FROM sessions",
    ];
    // Those of `Tx::revoke` with their tables, what deletes rows that are dead or expired already, and its tests.
    let tables = [
        "store/access_tokens.rs",
        "store/clients.rs",
        "store/expired.rs",
        "store/families.rs",
        "store/grants.rs",
        "store/purge_statements.rs",
        "store/sessions.rs",
        "store/signing_keys.rs",
        "store/sqlite/copies.rs",
        "store/sqlite/plans.rs",
        "store/users.rs",
    ];
    for File { path, module, code, .. } in &files {
        let calls = |verb: &str| code.contains(&format!("tx.{verb}("));
        assert!(
            !calls("revoke") && !calls("revoke_everything") || path == "service/revoke.rs",
            "{path} revokes"
        );
        // Without a ledger row: for what nobody used, and what the ledger says already.
        let is_silent = calls("end_silently");
        assert!(!is_silent || ["service/drill.rs", "service/restore.rs"].contains(&path.as_str()), "{path}");
        let end = ends.into_iter().find(|end| calls(end));
        assert!(
            end.is_none() || named.contains(path),
            "{path}: {end:?}, and service/revoke.rs names no such place"
        );
        let statement = statements.into_iter().find(|statement| code.contains(statement));
        assert!(statement.is_none() || tables.contains(&path.as_str()), "{path}: {statement:?}");
        assert!(module == "service" || end.is_none(), "{path} ends something by itself");
    }
}

#[test]
fn files_begin_with_what_they_are_for_and_stay_short() {
    for File { path, text, .. } in files().into_iter().chain(files_of("guard/src")) {
        assert!(text.starts_with("//! "), "{path}");
        assert!(text.lines().count() <= 400, "{path} is long");
        let engines = ["store/sqlite/", "store/postgres/", "store/memory/"];
        let place = engines.iter().fold(path.clone(), |place, engine| place.replace(engine, "store/"));
        assert!(place.matches('/').count() <= 1, "{path} is nested deeper than two levels");
    }
}

/// The pages of documentation, by their path below the repository.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        in_docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    pages.extend(["README.md", "SECURITY.md"].map(|name| root.join(name)));
    pages.sort();
    pages
}

/// The names by which a page's headings are linked to, as Markdown readers on the web make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn no_link_of_the_documentation_dangles() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).contains(anchor), "{}: {link}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 40, "{links} links were found");
}

#[test]
fn every_page_of_the_documentation_is_named_in_the_readme() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("{name})")), "{name}");
    }
}

#[test]
fn the_files_that_the_architecture_page_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|code| {
        ["src/", "tests/", "migrations/", "guard/"].iter().any(|folder| code.starts_with(folder))
    });
    let named: Vec<&str> = named.filter(|path| !path.contains('<')).collect();
    assert!(named.len() > 8, "{named:?}");
    for path in named {
        assert!(root.join(path).exists(), "{path}");
    }
}
