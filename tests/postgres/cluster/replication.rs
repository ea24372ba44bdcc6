//! Standbys: added to a running primary, and promoted.

use super::{Cluster, append, data, programs};

/// Whether commits wait until the standby has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    Yes,
    No,
}

impl Cluster {
    /// A hot standby that follows this server. With several synchronous ones, a commit waits for any one of them.
    pub fn add_standby(&self, synchronous: Synchronous) -> Self {
        let mut standbys = self.standbys.lock().unwrap();
        let name = format!("standby_{}", standbys.len() + 1);
        let folder = programs::folder(self.storage);
        let mut copying = programs::program("pg_basebackup");
        copying.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"]);
        copying.arg(format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port));
        programs::output(copying.arg("-D").arg(data(&folder)))
            .unwrap_or_else(|error| panic!("pg_basebackup: {error}"));
        // The copied settings name the standbys of the primary, for which this one would wait when it is promoted.
        append(&data(&folder).join("postgresql.auto.conf"), "synchronous_standby_names = ''\n");
        let standby = Self::start_in(folder, self.storage);

        standbys.push((name.clone(), synchronous));
        let waited_for = standbys.iter().filter(|(_, synchronous)| *synchronous == Synchronous::Yes);
        let names: Vec<&str> = waited_for.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            let names = names.join(", ");
            self.query(&format!("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({names})'"));
            self.query("SELECT pg_reload_conf()");
        }
        let state = if synchronous == Synchronous::Yes { "streaming|quorum" } else { "streaming|async" };
        let sql =
            format!("SELECT state, sync_state FROM pg_stat_replication WHERE application_name = '{name}'");
        self.wait_until(&sql, state);
        standby
    }

    /// Makes a standby a primary, and waits until it is one.
    pub fn promote(&self) {
        assert_eq!(self.query("SELECT pg_promote(true, 60)"), "t", "{}", self.log());
    }

    /// Waits until `standby` shows everything that is committed here.
    pub fn wait_for_replay_on(&self, standby: &Self) {
        let position = self.query("SELECT pg_current_wal_lsn()");
        standby.wait_until(&format!("SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"), "t");
    }
}
