//! Settings. They come only from the environment, and are all checked at the start.

pub mod guard;
mod issuer;
mod reader;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use crate::model::act::LONGEST_ACCESS_TOKEN_LIFE;
use crate::model::key::Algorithm;
use crate::model::secret::Digest;
use crate::model::standby::Standby;
use crate::service::issue::Lives;
use crate::service::keys::KeySettings;
pub use issuer::{Issuer, Transport};
pub use reader::{Faults, Setting};
use reader::{Reader, settings};

settings! {
    DATABASE_URL = "RESCIND_DATABASE_URL", "sqlite://rescind.db",
        "The database: `sqlite://` and the path of a file on a local disk, which is created at the first start; or `postgres://…`, a PostgreSQL database that several servers may share.";
    DATABASE_STANDBY = "RESCIND_DATABASE_STANDBY", "any",
        "With PostgreSQL, what its standbys have: `synchronous` says that every commit waits for one, so servers go on when it becomes the primary; `required` also believes a primary only while it has one; with `any`, a standby that became the primary may lack revocations, and is refused until `rescind restore --in-place`.";
    ISSUER = "RESCIND_ISSUER", "http://127.0.0.1:8080",
        "The address by which apps and users know this server: `https`, or `http` on loopback; no path.";
    KEY_FILE = "RESCIND_KEY_FILE", "",
        "The file with which signing keys are encrypted: 32 random bytes, created at the first start. If not set, it is the name of the database file and `.key`; with PostgreSQL it has to be set, and to be the same on all servers.";
    LISTEN = "RESCIND_LISTEN", "127.0.0.1:8080",
        "Address and port to listen on, unless a supervisor passes TCP sockets (`LISTEN_FDS`), which are all served. TLS ends at your proxy.";
    IDLE_TIMEOUT = "RESCIND_IDLE_TIMEOUT", "75",
        "Seconds that an open connection may wait for its next request: 5 to 3600. Set it higher than in your proxy or load balancer (60 is common). Otherwise these send requests on connections that have just been closed.";
    TRUSTED_PROXIES = "RESCIND_TRUSTED_PROXIES", "",
        "Addresses or networks of your proxies, separated by commas, whose `X-Forwarded-For` is trusted.";
    LOG = "RESCIND_LOG", "text",
        "`text` for people, `json` for machines. Logs go to standard error. `RUST_LOG` says how much is logged; the default is `info`.";
    METRICS_TOKEN = "RESCIND_METRICS_TOKEN", "",
        "A caller that sends it as a bearer token may read `/metrics`: 16 to 256 characters. Or `RESCIND_METRICS_TOKEN_FILE`, a file that holds it.";
    REGISTRATION = "RESCIND_REGISTRATION", "on",
        "`on` lets people create accounts at `/register`; with `off`, operators add them with a command.";
    CODE_LIFE = "RESCIND_CODE_LIFE", "60",
        "Seconds in which an authorization code can be redeemed: 10 to 600.";
    ACCESS_TOKEN_LIFE = "RESCIND_ACCESS_TOKEN_LIFE", "3600",
        "Seconds that an access token lives: 30 to 86400.";
    JWT_LIFE = "RESCIND_JWT_LIFE", "600",
        "Seconds that a JWT access token lives: 30 to 3600.";
    SIGNING_ALG = "RESCIND_SIGNING_ALG", "EdDSA",
        "What JWT access tokens are signed with: `EdDSA` (Ed25519) or `ES256`.";
    KEY_ROTATION = "RESCIND_KEY_ROTATION", "2592000",
        "Seconds after which another key signs: 3600 to 31536000.";
    REFRESH_TOKEN_LIFE = "RESCIND_REFRESH_TOKEN_LIFE", "2592000",
        "Seconds that a refresh token lives if nobody uses it: 60 to 31536000.";
    REFRESH_GRACE = "RESCIND_REFRESH_GRACE", "10",
        "Seconds in which a superseded refresh token gets its successor again: 0 to 60.";
    SESSION_LIFE = "RESCIND_SESSION_LIFE", "1209600",
        "Seconds that a browser stays signed in: 60 to 31536000.";
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Whether people can create accounts for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    On,
    Off,
}

/// Everything that an operator can set.
#[derive(Clone, Debug)]
pub struct Config {
    pub database: Database,
    pub standby: Standby,
    /// Beside the database if `None`.
    pub key_file: Option<PathBuf>,
    pub keys: KeySettings,
    pub issuer: Issuer,
    pub listen: SocketAddr,
    pub trusted_proxies: Vec<IpNet>,
    pub log: LogFormat,
    pub registration: Registration,
    pub lives: Lives,
    pub session_life: Duration,
    /// The digest of the token. Without one nobody can read metrics.
    pub metrics_token: Option<Digest>,
    /// How long an open connection may wait for its next request.
    pub idle_timeout: Duration,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
}

fn idle_timeout(reader: &mut Reader<'_>) -> Option<Duration> {
    reader.seconds(&IDLE_TIMEOUT, 5, 3600)
}

/// Where everything is stored.
#[derive(Clone)]
pub enum Database {
    Sqlite(PathBuf),
    /// A URL, which may hold a password.
    Postgres(String),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(out, "Sqlite({path:?})"),
            Self::Postgres(_) => out.write_str("Postgres(..)"),
        }
    }
}

fn database(value: &str) -> Result<Database, String> {
    if value.starts_with("postgres://") || value.starts_with("postgresql://") {
        return Ok(Database::Postgres(value.to_owned()));
    }
    value
        .strip_prefix("sqlite://")
        .filter(|path| !path.is_empty() && !path.contains(['?', ':', '\u{fffd}']))
        .map(|path| Database::Sqlite(PathBuf::from(path)))
        .ok_or_else(|| "has to be sqlite:// and the path of a file, or postgres:// and a database".to_owned())
}

fn address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| "has to be an address and a port, such as 127.0.0.1:8080".to_owned())
}

fn issuer(reader: &mut Reader<'_>) -> Option<Issuer> {
    reader.read(&ISSUER, |value| Issuer::parse(value).map_err(str::to_owned))
}

fn log(reader: &mut Reader<'_>) -> Option<LogFormat> {
    reader.choice(&LOG, [("text", LogFormat::Text), ("json", LogFormat::Json)])
}

fn metrics_token(reader: &mut Reader<'_>) -> Option<Option<Digest>> {
    reader.secret(&METRICS_TOKEN, |text| {
        let is_fit = (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let shape = || "has to hold 16 to 256 visible ASCII characters, no spaces".to_owned();
        is_fit.then(|| Digest::of(text.as_bytes())).ok_or_else(shape)
    })
}

fn proxies(value: &str) -> Result<Vec<IpNet>, String> {
    let net = |text: &str| text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    value
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| {
            net(text).map(unmapped).map_err(|_| format!("names {text:?}, which is no address or network"))
        })
        .collect()
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: callers' addresses are compared as IPv4 if they can be written so.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let (address, length) = (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96));
    let ipv4 = address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    ipv4.map_or(network, IpNet::V4)
}

impl Config {
    /// Reads all settings through `get`, which returns `None` for a setting that is not set.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader::new(get);
        let database = reader.read(&DATABASE_URL, database);
        let standby = reader.choice(
            &DATABASE_STANDBY,
            [("any", Standby::Any), ("synchronous", Standby::Synchronous), ("required", Standby::Required)],
        );
        let key_file = reader.read(&KEY_FILE, |value| match value {
            path if path.contains('\u{fffd}') => Err("has to be the path of a file".to_owned()),
            "" => Ok(None),
            path => Ok(Some(PathBuf::from(path))),
        });
        let issuer = issuer(&mut reader);
        let listen = reader.read(&LISTEN, address);
        let trusted_proxies = reader.read(&TRUSTED_PROXIES, proxies);
        let log = log(&mut reader);
        let registration =
            reader.choice(&REGISTRATION, [("on", Registration::On), ("off", Registration::Off)]);
        let code = reader.seconds(&CODE_LIFE, 10, 600);
        let access_token = reader.seconds(&ACCESS_TOKEN_LIFE, 30, LONGEST_ACCESS_TOKEN_LIFE.as_secs());
        let jwt = reader.seconds(&JWT_LIFE, 30, 3600);
        let algorithm = reader.read(&SIGNING_ALG, |value| {
            Algorithm::parse(value).ok_or_else(|| "has to be EdDSA or ES256".to_owned())
        });
        let rotation = reader.seconds(&KEY_ROTATION, 3600, 31_536_000);
        let refresh_token = reader.seconds(&REFRESH_TOKEN_LIFE, 60, 31_536_000);
        let refresh_grace = reader.seconds(&REFRESH_GRACE, 0, 60);
        let session_life = reader.seconds(&SESSION_LIFE, 60, 31_536_000);
        let metrics_token = metrics_token(&mut reader);
        let idle_timeout = idle_timeout(&mut reader);
        let secret_files = std::mem::take(&mut reader.secret_files);
        let read = || {
            Some(Self {
                database: database?,
                standby: standby?,
                key_file: key_file?,
                keys: KeySettings { algorithm: algorithm?, rotation: rotation? },
                issuer: issuer?,
                listen: listen?,
                trusted_proxies: trusted_proxies?,
                log: log?,
                registration: registration?,
                lives: Lives {
                    code: code?,
                    access_token: access_token?,
                    jwt: jwt?,
                    refresh_token: refresh_token?,
                    refresh_grace: refresh_grace?,
                },
                session_life: session_life?,
                metrics_token: metrics_token?,
                idle_timeout: idle_timeout?,
                secret_files,
            })
        };
        read().ok_or_else(|| reader.faults())
    }

    /// The page `docs/settings.md`.
    pub fn documentation() -> String {
        let mut page = String::from(
            "# Settings\n\nRescind reads all its settings from the environment, once, when it starts. Faults are\n\
             reported together, each with its variable. Durations are whole seconds.\n\n",
        );
        table(&mut page, SETTINGS);
        page.push_str(
            "\n## `rescind guard`\n\nThe sidecar ([resource-servers.md](resource-servers.md)) reads the settings below, and these from above:\n\
             `RESCIND_ISSUER`, `RESCIND_IDLE_TIMEOUT`, `RESCIND_LOG` and `RESCIND_METRICS_TOKEN`.\n\n",
        );
        table(&mut page, guard::SETTINGS);
        page
    }
}

fn table(page: &mut String, settings: &[Setting]) {
    page.push_str("| variable | default | meaning |\n|---|---|---|\n");
    for Setting { name, default, meaning } in settings {
        let default = if default.is_empty() { String::from("none") } else { format!("`{default}`") };
        // Writing to a String can't fail.
        let _ = writeln!(page, "| `{name}` | {default} | {meaning} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let config = Config::read(&|_| None).unwrap();
        assert_eq!(config.issuer.as_str(), "http://127.0.0.1:8080");
        assert_eq!(config.lives.refresh_grace, Duration::from_secs(10));
    }

    #[test]
    fn faults_are_reported_together_each_naming_its_variable() {
        let faults = Config::read(&|name| match name {
            "RESCIND_ISSUER" => Some("http://id.example".into()),
            "RESCIND_LISTEN" => Some("here".into()),
            "RESCIND_REFRESH_GRACE" => Some("1m".into()),
            "RESCIND_TRUSTED_PROXIES" => Some("10.0.0.0/8, proxy".into()),
            _ => None,
        })
        .unwrap_err()
        .to_string();
        for part in ["RESCIND_ISSUER", "RESCIND_LISTEN", "RESCIND_REFRESH_GRACE", "\"proxy\""] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        assert_eq!(faults.lines().count(), 4);
    }

    #[test]
    fn a_proxy_may_be_named_by_its_mapped_address() {
        for (text, network) in [
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(proxies(text).unwrap(), [network.parse::<IpNet>().unwrap()], "{text}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_from_a_file_and_no_fault_repeats_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("good"), "sixteen-letters!\n").unwrap();
        std::fs::write(path("bad"), "two words, too short").unwrap();
        let read = |token: Option<&str>, file: Option<&str>| {
            let get = |name: &str| match name {
                "RESCIND_METRICS_TOKEN" => token.map(str::to_owned),
                "RESCIND_METRICS_TOKEN_FILE" => file.map(path),
                _ => None,
            };
            Config::read(&get).map(|config| config.metrics_token).map_err(|faults| faults.to_string())
        };
        assert!(read(None, None).unwrap().is_none());
        let digest = Digest::of(b"sixteen-letters!");
        for (token, file) in [(Some("sixteen-letters!"), None), (None, Some("good"))] {
            assert!(read(token, file).unwrap().unwrap() == digest);
        }
        for (token, file, part) in [
            (Some("short"), None, "RESCIND_METRICS_TOKEN has"),
            (Some(""), None, "RESCIND_METRICS_TOKEN has"),
            (None, Some("bad"), "RESCIND_METRICS_TOKEN_FILE has"),
            (None, Some("absent"), "RESCIND_METRICS_TOKEN_FILE names"),
            (Some("sixteen-letters!"), Some("good"), "both"),
        ] {
            let faults = read(token, file).unwrap_err();
            assert!(faults.contains(part), "{part} in {faults}");
            assert!(!faults.contains("short") && !faults.contains("sixteen"), "{faults}");
        }
    }

    #[test]
    fn a_jwt_lives_an_hour_at_most() {
        let read = |life: &'static str| {
            Config::read(&move |name| (name == "RESCIND_JWT_LIFE").then(|| life.to_owned()))
        };
        assert_eq!(read("3600").unwrap().lives.jwt.as_secs(), 3600);
        let faults = read("3601").unwrap_err().to_string();
        assert!(faults.starts_with("RESCIND_JWT_LIFE"), "{faults}");
    }

    #[test]
    fn the_settings_page_is_up_to_date() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md")).unwrap();
        assert_eq!(page, Config::documentation(), "write docs/settings.md again: rescind settings");
    }
}
