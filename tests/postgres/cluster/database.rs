//! A fresh database for each test, on a server that many tests share.

use std::sync::{Arc, Mutex, Weak};

use url::Url;

use super::{Cluster, Storage, query};

/// The maintenance database of a running server, if there is one: `scripts/postgres.sh` sets it.
const SERVER: &str = "RESCIND_TEST_POSTGRES";

/// The server of this process, while anybody uses it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A database, and its end: what is still connected then is sent away.
pub struct Database {
    pub url: String,
    server: Server,
}

/// A server that many tests share.
#[derive(Clone)]
pub struct Server {
    /// Of its maintenance database.
    pub url: String,
    /// Keeps the server of this process, if it is that.
    _cluster: Option<Arc<Cluster>>,
}

/// An empty database on the server that `RESCIND_TEST_POSTGRES` names, or else on one that this process starts.
pub fn shared_database() -> Database {
    let server = Server::shared();
    Database { url: server.create(), server }
}

fn shared_cluster() -> Arc<Cluster> {
    // What a failed test leaves here is as good as before.
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start(Storage::Memory));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

impl Server {
    pub fn shared() -> Self {
        match std::env::var(SERVER) {
            Ok(url) => Self { url, _cluster: None },
            Err(_) => {
                let cluster = shared_cluster();
                Self { url: cluster.url("postgres"), _cluster: Some(cluster) }
            }
        }
    }

    /// An empty database, which lasts as long as the server.
    pub fn create(&self) -> String {
        create(&self.url)
    }

    /// A copy of a database that nobody has open; `None` if there is none of that name.
    pub fn copy_of(&self, template: &str) -> Option<Database> {
        match create_from(&self.url, Some(template)) {
            Ok(url) => Some(Database { url, server: self.clone() }),
            Err(error) if error.contains("does not exist") => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn rename(&self, url: &str, name: &str) {
        let sql = format!("ALTER DATABASE {} RENAME TO {name}", name_in(url));
        query(&self.url, &sql).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Creates a database, and gives its URL.
pub fn create(maintenance: &str) -> String {
    create_from(maintenance, None).unwrap_or_else(|error| panic!("{error}"))
}

fn create_from(maintenance: &str, template: Option<&str>) -> Result<String, String> {
    let name = format!("rescind_{:016x}", rand::random::<u64>());
    let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
    query(maintenance, &format!("CREATE DATABASE {name}{template}"))?;
    let mut url = Url::parse(maintenance).unwrap();
    url.set_path(&name);
    Ok(url.into())
}

/// The database that a URL names.
fn name_in(url: &str) -> &str {
    url.rsplit('/').next().unwrap().split('?').next().unwrap()
}

impl Database {
    /// What this one holds, in another one. Whoever is connected to this one is sent away.
    pub fn copied(&self) -> Self {
        let connected = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.query(connected);
        self.server.copy_of(name_in(&self.url)).expect("it is there")
    }

    pub fn query(&self, sql: &str) -> String {
        query(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = name_in(&self.url);
        // A failed test may have lost its server, and has said so already.
        if let Err(error) = query(&self.server.url, &format!("DROP DATABASE {name} WITH (FORCE)")) {
            eprintln!("{name} stays: {error}");
        }
    }
}
