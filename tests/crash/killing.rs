//! A server that can be made to die at a labelled point, and what lies in its database then.

use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;

use crate::engine::connection::Connection;
use crate::engine::database::{Database, is_postgres};
use crate::program::{Place, Server};
use crate::visitor::{REDIRECT, VERIFIER, World};

/// Around the commit of the group: nothing of it is durable, and then all of it is, unanswered.
pub const COMMIT: [&str; 2] = ["writer.before_commit", "writer.after_commit"];

/// A database, and the programs on it, which can be made to die.
pub struct CrashSite {
    place: Place,
    database: Database,
}

impl Deref for CrashSite {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl CrashSite {
    pub fn new() -> Self {
        Self::with(Database::new())
    }

    /// Where no program has been yet.
    pub fn without_tables() -> Self {
        Self::with(Database::without_tables())
    }

    fn with(database: Database) -> Self {
        let mut place = Place::new();
        place.set("RESCIND_DATABASE_URL", database.url());
        place.set("RESCIND_KEY_FILE", database.key_file().to_str().unwrap());
        // Servers and commands listen on different ports, and a database that they share has one issuer.
        place.set("RESCIND_ISSUER", "http://127.0.0.1:8080");
        Self { place, database }
    }

    fn fail_point(&self) -> PathBuf {
        self.folder.path().join("fail-point")
    }

    /// From now on, whoever passes the point (for the n-th time, as `label:n`) dies there.
    pub fn arms(&self, label: &str) {
        std::fs::write(self.fail_point(), label).unwrap();
    }

    fn disarms(&self) {
        std::fs::remove_file(self.fail_point()).unwrap();
    }

    pub fn serve_mortal(&self) -> Server {
        let mut program = self.program(&["serve"]);
        program.env("RESCIND_FAIL_POINT", self.fail_point());
        Server::start(program)
    }

    /// Runs a command that may die at `label`; how it ended.
    pub fn dies_at(&self, label: &str, arguments: &[&str]) -> ExitStatus {
        // A server that runs beside it does not die.
        let fail_point = self.folder.path().join("fail-point-of-command");
        std::fs::write(&fail_point, label).unwrap();
        let mut program = self.program(arguments);
        program.env("RESCIND_FAIL_POINT", fail_point).stdout(Stdio::null()).stderr(Stdio::null());
        program.status().unwrap()
    }

    /// The server is dead, by SIGKILL; another one on the same database.
    pub fn serve_again(&self, mut server: Server, label: &str) -> Server {
        let until = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = server.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "nobody passed {label}: {}", server.log());
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(status.signal(), Some(9), "{label}: {}", server.log());
        self.disarms();
        self.serve_mortal()
    }

    /// A connection of the test's own.
    pub fn open(&self) -> Connection {
        self.database.connect()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.open().value(sql, &[])
    }

    /// Waits until nothing is left to purge.
    pub fn is_purged(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        let database = self.open();
        while database.value::<i64>("SELECT count(*) FROM purges WHERE finished_at IS NULL", &[]) > 0 {
            assert!(Instant::now() < until, "the purge does not go on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What holds in every state of the database, whatever happened to the process.
    pub fn is_sound(&self, what: &str) {
        let database = self.open();
        if is_postgres() {
            let numbers = "SELECT sequence - (SELECT coalesce(max(sequence), 0) FROM ledger) FROM head";
            assert_eq!(self.number(numbers), 0, "{what}: numbers without rows");
        } else {
            assert_eq!(database.value::<String>("PRAGMA integrity_check", &[]), "ok", "{what}");
            let dangling = database.row("PRAGMA foreign_key_check", &[]);
            assert!(dangling.is_none(), "{what}: a foreign key dangles");
        }
        let forgotten =
            "SELECT count(*) FROM ledger WHERE sequence NOT IN (SELECT ledger_sequence FROM purges)";
        assert_eq!(self.number(forgotten), 0, "{what}: a revocation without its purge");
        // A used code without tokens, or a superseded token without a successor, is half an exchange.
        let half_redeemed = "SELECT count(*) FROM authorization_codes AS c WHERE used_at IS NOT NULL \
            AND NOT EXISTS (SELECT 1 FROM tokens AS t WHERE t.place / 1048576 % 2 = 1 AND 'fam_' || t.family_id = c.family_id)";
        let half_refreshed = "SELECT count(*) FROM tokens AS t WHERE superseded_at IS NOT NULL \
            AND NOT EXISTS (SELECT 1 FROM tokens AS s WHERE s.place / 1048576 % 2 = 1 AND s.family_id = t.family_id \
            AND s.superseded_at IS NULL)";
        let without_code = "SELECT count(*) FROM families AS f \
            WHERE NOT EXISTS (SELECT 1 FROM authorization_codes AS c WHERE c.family_id = f.id)";
        for half in [half_redeemed, half_refreshed, without_code] {
            assert_eq!(self.number(half), 0, "{what}: {half}");
        }
    }
}

/// Requests that may go unanswered.
pub struct Caller<'w> {
    world: &'w World,
    http: reqwest::Client,
    base: String,
}

impl<'w> Caller<'w> {
    pub fn new(world: &'w World, server: &Server) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { world, http, base: format!("http://{}", server.address) }
    }

    pub fn as_client(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let (id, secret) = &self.world.client;
        self.http.post(format!("{}{path}", self.base)).form(form).basic_auth(id, Some(secret))
    }

    pub fn redeems(&self, code: &str) -> RequestBuilder {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.as_client("/oauth/token", &form)
    }

    pub fn gets(&self, cookie: &str, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).header("cookie", cookie)
    }

    pub fn submits(&self, cookie: &str, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).header("cookie", cookie).form(&[("x", "")])
    }
}
