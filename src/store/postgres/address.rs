//! The address of a PostgreSQL database, and how its connections are encrypted.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use crate::model::standby::Standby;
use crate::store::postgres::connect::PATIENCE;

/// Where the database is. Cheap to clone.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) standby: Standby,
    pub(super) purpose: Purpose,
}

/// What the database is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Serve,
    /// It may lack what was done last.
    Restore,
}

impl Purpose {
    /// By which the database server shows connections.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Serve => "rescind",
            Self::Restore => "rescind restore",
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold a password.
        out.write_str("Address(..)")
    }
}

impl Address {
    /// `sslmode` is `verify-full`, or `disable` for networks that nobody else can read. Without it, connections are
    /// verified unless the server is on this machine. Several hosts (`host1:5432,host2:5432`) are tried in turn until one
    /// accepts writes. `sslrootcert` names a file of certificates to trust instead of
    /// the system's.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn parse(text: &str, standby: Standby) -> Result<Self, String> {
        // The driver's parser reads the rest: it also understands several hosts, which no other URL has.
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots) = (None, None);
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => roots = Some(value.into_owned()),
                _ => drop(others.append_pair(&name, &value)),
            }
        }
        let parsed = format!("{place}?{}", others.finish()).parse();
        let mut config: Config = parsed.map_err(|error: tokio_postgres::Error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("can't be used: {why}")
        })?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err("has to name a host and a database: postgres://user@host/database".to_owned());
        }
        let is_encrypted = match mode.as_deref() {
            Some("verify-full") => true,
            Some("disable") => false,
            None => !config.get_hosts().iter().all(is_on_this_machine),
            Some(_) => return Err("may say sslmode=verify-full or sslmode=disable".to_owned()),
        };
        config.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        config.application_name(Purpose::Serve.name()).connect_timeout(PATIENCE);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = MakeRustlsConnect::new(tls(is_encrypted, roots.as_deref().map(Path::new))?);
        Ok(Self { config, tls, standby, purpose: Purpose::Serve })
    }

    /// The same for a database that may lack what was done last: it is opened to end everything.
    #[must_use]
    pub fn to_restore(mut self) -> Self {
        self.purpose = Purpose::Restore;
        self.config.application_name(self.purpose.name());
        self
    }
}

fn is_on_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

fn tls(is_encrypted: bool, roots: Option<&Path>) -> Result<ClientConfig, String> {
    let mut trusted = RootCertStore::empty();
    if is_encrypted {
        let found = match roots {
            Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
            None => rustls_native_certs::load_native_certs(),
        };
        trusted.add_parsable_certificates(found.certs);
        if trusted.is_empty() {
            let file = roots.map_or_else(|| "the system".to_owned(), |file| file.display().to_string());
            return Err(format!("needs certificates to trust, and {file} has none"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(trusted).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> Result<SslMode, String> {
        Address::parse(text, Standby::Any).map(|address| address.config.get_ssl_mode())
    }

    #[test]
    fn connections_to_other_machines_are_verified_unless_it_is_said_otherwise() {
        for (text, expected) in [
            ("postgres://u@localhost/d", SslMode::Disable),
            ("postgres://u@127.0.0.1:5433/d", SslMode::Disable),
            ("postgres://u:p@db.example/d?sslmode=disable", SslMode::Disable),
            ("postgres://u:p@db.example/d?sslmode=verify-full", SslMode::Require),
            ("postgres://u:p@db.example/d", SslMode::Require),
        ] {
            assert_eq!(mode(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_url_that_can_t_be_used_says_why() {
        for (text, why) in [
            ("postgres://u@localhost", "has to name a host and a database"),
            ("postgres:///d", "has to name a host and a database"),
            ("postgres://u@localhost/d?sslmode=require", "may say sslmode=verify-full or sslmode=disable"),
            ("postgres://u@localhost/d?speed=high", "speed"),
            ("postgres://u@db.example/d?sslrootcert=/nowhere.pem", "/nowhere.pem has none"),
        ] {
            assert!(mode(text).is_err_and(|error| error.contains(why)), "{text}: {:?}", mode(text));
        }
    }
}
