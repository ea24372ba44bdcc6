//! A fresh database for each test, on a server that many tests share.

use std::sync::{Arc, Mutex, Weak};

use url::Url;

use super::{Cluster, Storage, query};

/// The maintenance database of a running server, if there is one: `scripts/postgres.sh` sets it.
const SERVER: &str = "RESCIND_TEST_POSTGRES";

/// The server of this process, while anybody uses it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// An empty database, and its end: what is still connected then is sent away.
pub struct Database {
    pub url: String,
    maintenance: String,
    /// Keeps the server of this process, if it is on that.
    _cluster: Option<Arc<Cluster>>,
}

/// An empty database on the server that `RESCIND_TEST_POSTGRES` names, or else on one that this process starts.
pub fn shared_database() -> Database {
    let (maintenance, cluster) = match std::env::var(SERVER) {
        Ok(maintenance) => (maintenance, None),
        Err(_) => {
            let cluster = shared_cluster();
            (cluster.url("postgres"), Some(cluster))
        }
    };
    Database { url: create(&maintenance), maintenance, _cluster: cluster }
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

/// Creates a database, and gives its URL.
pub fn create(maintenance: &str) -> String {
    let name = format!("rescind_{:016x}", rand::random::<u64>());
    query(maintenance, &format!("CREATE DATABASE {name}")).unwrap_or_else(|error| panic!("{error}"));
    let mut url = Url::parse(maintenance).unwrap();
    url.set_path(&name);
    url.into()
}

impl Database {
    pub fn query(&self, sql: &str) -> String {
        query(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.url.rsplit('/').next().unwrap().split('?').next().unwrap();
        // A failed test may have lost its server, and has said so already.
        if let Err(error) = query(&self.maintenance, &format!("DROP DATABASE {name} WITH (FORCE)")) {
            eprintln!("{name} stays: {error}");
        }
    }
}
