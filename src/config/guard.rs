//! Settings of `rescind guard`, the sidecar.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rescind_guard::{OpaqueTokens, Settings, WhenStale};
use url::Url;

use super::reader::{Faults, Reader, Setting, settings};
use super::{Issuer, LogFormat};
use crate::model::id::ResourceServerId;
use crate::model::redirect_uri::is_loopback;
use crate::model::resource_server::is_audience;
use crate::model::scope::Scope;
use crate::model::secret::{Digest, ResourceServerSecret};

settings! {
    LISTEN = "RESCIND_GUARD_LISTEN", "127.0.0.1:8090",
        "Address and port at which the proxy asks, unless a supervisor passes TCP sockets (`LISTEN_FDS`), which are all served. Only the proxy needs to reach it.";
    ID = "RESCIND_GUARD_ID", "",
        "Required: the `id` that `rescind resource-server add` printed.";
    SECRET = "RESCIND_GUARD_SECRET", "",
        "Required: the `secret` printed with it. Or `RESCIND_GUARD_SECRET_FILE`, a file that holds it.";
    AUDIENCE = "RESCIND_GUARD_AUDIENCE", "",
        "Required: the audience of that registration. Tokens for any other are refused.";
    SERVER = "RESCIND_GUARD_SERVER", "",
        "Where the server is reached, if not at `RESCIND_ISSUER`: `https`, or `http` on loopback.";
    PLAIN_HTTP = "RESCIND_GUARD_PLAIN_HTTP", "off",
        "`on` allows `http` to a server on another machine: the secret and the tokens are not encrypted on the way.";
    SCOPES = "RESCIND_GUARD_SCOPES", "",
        "Scopes, separated by spaces, that every token must have. The proxy can ask for more at each location, never for less.";
    REALM = "RESCIND_GUARD_REALM", "",
        "The realm in challenges, up to 100 characters. If not set, it is the audience.";
    MAX_STALENESS = "RESCIND_GUARD_MAX_STALENESS", "",
        "Seconds for which tokens are accepted without an answer from the server: 1 to 300. If it is not set, or is higher than in the registration, the registration counts.";
    WHEN_STALE = "RESCIND_GUARD_WHEN_STALE", "refuse",
        "After that, `refuse` refuses every JWT; `introspect` asks the server about each.";
    OPAQUE = "RESCIND_GUARD_OPAQUE", "introspect",
        "`introspect` asks the server about opaque tokens, and caches an answer until the feed says otherwise; `refuse` accepts only JWTs.";
    CACHE = "RESCIND_GUARD_CACHE", "10000",
        "How many answers about opaque tokens are cached: 0 to 1000000.";
    LEEWAY = "RESCIND_GUARD_LEEWAY", "5",
        "Seconds by which this machine's clock and the server's may differ: 0 to 300.";
}

/// All settings of the sidecar.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    pub listen: SocketAddr,
    /// How long an open connection may wait for its next request.
    pub idle_timeout: Duration,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
    pub log: LogFormat,
    /// The digest of the token. Without one nobody can read metrics.
    pub metrics_token: Option<Digest>,
    pub issuer: Issuer,
    pub audience: String,
    /// Scopes that every token must have.
    pub scopes: Scope,
    pub realm: String,
    pub guard: Settings,
}

fn id(value: &str) -> Result<String, String> {
    ResourceServerId::parse(value)
        .map(|_| value.to_owned())
        .ok_or_else(|| "has to be the id that `rescind resource-server add` printed".to_owned())
}

fn secret(value: &str) -> Result<String, String> {
    ResourceServerSecret::parse(value)
        .map(|_| value.to_owned())
        .ok_or_else(|| "has to be the secret that `rescind resource-server add` printed".to_owned())
}

fn audience(value: &str) -> Result<String, String> {
    let is_fit = is_audience(value);
    is_fit.then(|| value.to_owned()).ok_or_else(|| "has to be the audience of the registration".to_owned())
}

/// The address, and whether others could read what is sent there.
fn server(value: &str) -> Result<Option<(String, Wire)>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let is_bare = |url: &Url| url.username().is_empty() && url.password().is_none();
    let is_plain = |url: &Url| url.has_host() && url.query().is_none() && url.fragment().is_none();
    let url = Url::parse(value).ok().filter(|url| is_bare(url) && is_plain(url));
    let url = url.ok_or_else(|| "has to be an address such as https://id.example".to_owned())?;
    let wire = match url.scheme() {
        "https" => Wire::Closed,
        "http" if is_loopback(&url) || url.host_str() == Some("localhost") => Wire::Closed,
        "http" => Wire::Open,
        _ => return Err("has to begin with https:// or http://".to_owned()),
    };
    Ok(Some((value.to_owned(), wire)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// With TLS, or on this machine.
    Closed,
    Open,
}

/// `None` means that the audience is the realm.
fn realm(value: &str) -> Result<Option<String>, String> {
    let is_fit = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    match value {
        "" => Ok(None),
        _ if is_fit && value.len() <= 100 => Ok(Some(value.to_owned())),
        _ => Err("may hold 100 characters of ASCII, and neither \" nor \\".to_owned()),
    }
}

fn max_staleness(value: &str) -> Result<Duration, String> {
    if value.is_empty() {
        return Ok(Duration::MAX);
    }
    let seconds = value.parse().ok().filter(|seconds| (1..=300).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "has to be a number of seconds from 1 to 300".to_owned())
}

fn required_secret(reader: &mut Reader<'_>) -> Option<String> {
    let read = reader.secret(&SECRET, secret)?;
    if read.is_none() {
        reader.fault(SECRET.name, "is not set, nor is RESCIND_GUARD_SECRET_FILE");
    }
    read
}

/// The server's address, and whether it may be one that others can listen to.
fn private_server(reader: &mut Reader<'_>) -> (Option<Option<(String, Wire)>>, Option<bool>) {
    let server = reader.read(&SERVER, server);
    let plain_http = reader.choice(&PLAIN_HTTP, [("off", false), ("on", true)]);
    if let (Some(Some((_, Wire::Open))), Some(false)) = (&server, plain_http) {
        let wrong = "is http to another machine: use https, or set RESCIND_GUARD_PLAIN_HTTP to on";
        reader.fault(SERVER.name, wrong);
    }
    (server, plain_http)
}

impl GuardConfig {
    /// Reads all settings through `get`, which returns `None` for a setting that is not set.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader::new(get);
        let listen = reader.read(&LISTEN, super::address);
        let idle_timeout = super::idle_timeout(&mut reader);
        let log = super::log(&mut reader);
        let metrics_token = super::metrics_token(&mut reader);
        let issuer = super::issuer(&mut reader);
        let id = reader.read(&ID, id);
        let secret = required_secret(&mut reader);
        let audience = reader.read(&AUDIENCE, audience);
        let (server, plain_http) = private_server(&mut reader);
        let scopes = reader.read(&SCOPES, |value| {
            Scope::parse(value).ok_or_else(|| "has to hold scopes, separated by spaces".to_owned())
        });
        let realm = reader.read(&REALM, realm);
        let max_staleness = reader.read(&MAX_STALENESS, max_staleness);
        let when_stale = reader
            .choice(&WHEN_STALE, [("refuse", WhenStale::Refuse), ("introspect", WhenStale::Introspect)]);
        let opaque = reader
            .choice(&OPAQUE, [("introspect", OpaqueTokens::Introspect), ("refuse", OpaqueTokens::Refuse)]);
        let cache = reader.read(&CACHE, |value| {
            let number = value.parse::<usize>().ok().filter(|number| *number <= 1_000_000);
            number.ok_or_else(|| "has to be a number from 0 to 1000000".to_owned())
        });
        let leeway = reader.seconds(&LEEWAY, 0, 300);
        let secret_files = std::mem::take(&mut reader.secret_files);
        let faults = reader.faults();
        let read = || {
            let (issuer, audience) = (issuer?, audience?);
            let mut guard = Settings::new(issuer.as_str(), id?, secret?, &audience)
                .max_staleness(max_staleness?)
                .leeway(leeway?)
                .when_stale(when_stale?)
                .opaque_tokens(opaque?)
                .cached_answers(cache?);
            if let Some((url, _)) = server? {
                guard = guard.server(url);
            }
            if plain_http? {
                guard = guard.allow_plain_http();
            }
            Some(Self {
                listen: listen?,
                idle_timeout: idle_timeout?,
                secret_files,
                log: log?,
                metrics_token: metrics_token?,
                issuer,
                realm: realm?.unwrap_or_else(|| audience.clone()),
                audience,
                scopes: scopes?,
                guard,
            })
        };
        if faults.is_empty() { read().ok_or(faults) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID_TEXT: &str = "rse_00000000000000000000";

    fn read(set: &[(&str, &str)]) -> Result<GuardConfig, String> {
        let secret = ResourceServerSecret::generate();
        let get = |name: &str| {
            let set = set.iter().rev().find(|(known, _)| *known == name);
            let needed = match name {
                "RESCIND_GUARD_ID" => Some(ID_TEXT),
                "RESCIND_GUARD_SECRET" => Some(secret.expose()),
                "RESCIND_GUARD_AUDIENCE" => Some("urn:photos"),
                _ => None,
            };
            set.map(|(_, value)| *value).or(needed).map(str::to_owned)
        };
        GuardConfig::read(&get).map_err(|faults| faults.to_string())
    }

    #[test]
    fn it_listens_on_loopback_unless_told_otherwise() {
        let config = read(&[]).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert!(
            config.scopes.is_empty() && config.realm == config.audience && config.metrics_token.is_none()
        );
    }

    #[test]
    fn id_secret_and_audience_have_no_default() {
        let faults = GuardConfig::read(&|_| None).unwrap_err().to_string();
        for name in ["RESCIND_GUARD_ID", "RESCIND_GUARD_SECRET", "RESCIND_GUARD_AUDIENCE"] {
            assert!(faults.lines().any(|line| line.starts_with(name)), "{name} in {faults}");
        }
        assert_eq!(faults.lines().count(), 3);
    }

    #[test]
    fn each_fault_names_its_variable_and_none_repeats_the_secret() {
        for (name, value) in [
            ("RESCIND_GUARD_LISTEN", "here"),
            ("RESCIND_ISSUER", "http://id.example"),
            ("RESCIND_LOG", "xml"),
            ("RESCIND_METRICS_TOKEN", "short"),
            ("RESCIND_GUARD_ID", "cli_00000000000000000000"),
            ("RESCIND_GUARD_SECRET", "rsc_rs_typo"),
            ("RESCIND_GUARD_AUDIENCE", "photos"),
            ("RESCIND_GUARD_SERVER", "id.example"),
            ("RESCIND_GUARD_SERVER", "https://me:too@id.example"),
            ("RESCIND_GUARD_SERVER", "https://id.example/?x"),
            ("RESCIND_GUARD_SERVER", "http://10.0.0.1:8080"),
            ("RESCIND_GUARD_PLAIN_HTTP", "yes"),
            ("RESCIND_GUARD_SCOPES", "a\"b"),
            ("RESCIND_GUARD_REALM", "a\"b"),
            ("RESCIND_GUARD_MAX_STALENESS", "0"),
            ("RESCIND_GUARD_MAX_STALENESS", "301"),
            ("RESCIND_GUARD_WHEN_STALE", "accept"),
            ("RESCIND_GUARD_OPAQUE", "accept"),
            ("RESCIND_GUARD_CACHE", "-1"),
            ("RESCIND_GUARD_LEEWAY", "301"),
        ] {
            let faults = read(&[(name, value)]).unwrap_err();
            assert!(faults.starts_with(name), "{name} in {faults}");
            assert_eq!(faults.lines().count(), 1, "{faults}");
            assert!(!faults.contains("typo") && !faults.contains("short"), "{faults}");
        }
    }

    #[test]
    fn plain_http_to_another_machine_has_to_be_asked_for() {
        let server = ("RESCIND_GUARD_SERVER", "http://10.0.0.1:8080");
        assert!(read(&[server, ("RESCIND_GUARD_PLAIN_HTTP", "on")]).is_ok());
        assert!(read(&[("RESCIND_GUARD_SERVER", "http://[::1]:8080")]).is_ok());
        assert!(read(&[("RESCIND_GUARD_SERVER", "https://id.example/base")]).is_ok());
    }
}
