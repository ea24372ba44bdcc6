//! Real proxies in front of files and of an application, as `docs/resource-servers.md` configures them: the real
//! sidecar says who gets through.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::program::{Place, Server};
use crate::proxy::{Application, Parts, Proxy, told};
use crate::visitor::{Tokens, Visitor, World};

const SCOPES: [&str; 2] = ["photos.read=See your photos", "photos.write=Add photos"];
const IDENTITY: [&str; 3] = ["x-rescind-subject", "x-rescind-client", "x-rescind-scope"];
/// More than any answer takes; nothing is measured by it.
const LONG: Duration = Duration::from_secs(20);

/// A server, a sidecar and an application; proxies come in front.
struct Estate {
    place: Place,
    world: World,
    server: Server,
    sidecar: Server,
    application: Application,
    http: reqwest::Client,
}

impl Estate {
    async fn build(format: &str) -> Self {
        let place = Place::new();
        let world = World::register_with(&place, format, &SCOPES);
        let server = place.serve();
        let settings = [("RESCIND_GUARD_MAX_STALENESS", "2")];
        let sidecar = place.guard(&world.resource_server, &server.address, &settings);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let estate = Self { place, world, server, sidecar, application: Application::start().await, http };
        estate.is_ready().await;
        estate
    }

    async fn is_ready(&self) {
        let url = format!("http://{}/readyz", self.sidecar.address);
        until(async || self.http.get(&url).send().await.unwrap().status() == 200).await;
    }

    fn visitor(&self) -> Visitor<'_> {
        self.world.at(&self.server)
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            folder: self.place.folder.path(),
            sidecar: &self.sidecar.address,
            application: &self.application.address,
        }
    }

    /// A token of the client's own, with this scope.
    async fn token_for(&self, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let issued: Value = self.visitor().token(&form).await.json().await.unwrap();
        issued["access_token"].as_str().unwrap().to_owned()
    }

    async fn alice(&self) -> Tokens {
        let visitor = self.visitor();
        visitor.authorize(&visitor.sign_in().await).await
    }
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it comes true");
}

/// Whatever an outsider may try to be taken for somebody else.
fn forged(request: RequestBuilder) -> RequestBuilder {
    let names = IDENTITY.into_iter().map(str::to_owned);
    let names = names.chain(IDENTITY.map(|name| name.replace('-', "_")));
    names
        .chain(IDENTITY.map(|name| name.replacen("x-", "X-", 1).replace("d-", "d_")))
        .fold(request.header("X-RESCIND-SUBJECT", "usr_forged"), |request, name| {
            request.header(name, "usr_forged")
        })
}

fn challenge(answer: &Response) -> String {
    let all: Vec<_> = answer.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(all.len(), 1, "one challenge: {all:?}");
    all[0].to_str().unwrap().to_owned()
}

const INVALID_TOKEN: &str = "Bearer realm=\"urn:photos\", error=\"invalid_token\", \
    error_description=\"The access token is not valid here, has expired or was revoked\"";

#[tokio::test]
async fn nginx_serves_files_until_their_opaque_token_is_revoked() {
    nginx_serves_files_until_their_token_is_revoked("opaque").await;
}

#[tokio::test]
async fn nginx_serves_files_until_their_jwt_is_revoked() {
    nginx_serves_files_until_their_token_is_revoked("jwt").await;
}

async fn nginx_serves_files_until_their_token_is_revoked(format: &str) {
    let estate = Estate::build(format).await;
    let files = estate.place.folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("cat.txt"), "a cat").unwrap();
    let nginx = Proxy::nginx(&estate.parts());
    let file = || estate.http.get(format!("{}/cat.txt", nginx.url));
    let with = async |token: &str| file().bearer_auth(token).send().await.unwrap();

    let answer = file().send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), challenge(&answer).as_str()),
        (401, r#"Bearer realm="urn:photos""#)
    );
    let answer = file().header(AUTHORIZATION, "Bearer two words").send().await.unwrap();
    assert_eq!(answer.status(), 401, "not 500, as nginx makes of 400");
    assert!(challenge(&answer).contains("error=\"invalid_request\""));

    let revoked = estate.alice().await;
    let kept = estate.alice().await;
    assert_eq!(revoked.access.contains('.'), format == "jwt");
    for tokens in [&revoked, &kept] {
        let answer = with(&tokens.access).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "a cat"));
    }
    let answer = with(&estate.token_for("photos.write").await).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(
        challenge(&answer),
        "Bearer realm=\"urn:photos\", error=\"insufficient_scope\", scope=\"photos.read\""
    );

    let ended = estate.place.run_with(&["revoke", "token", "-"], &revoked.refresh);
    assert_eq!(ended.exit, 0, "{}", ended.err);
    until(async || with(&revoked.access).await.status() == 401).await;
    assert_eq!(challenge(&with(&revoked.access).await), INVALID_TOKEN);
    assert_eq!(with(&kept.access).await.status(), 200);
}

#[tokio::test]
async fn nginx_refuses_while_the_server_is_gone_for_longer_than_max_staleness() {
    for format in ["opaque", "jwt"] {
        let mut estate = Estate::build(format).await;
        let files = estate.place.folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("cat.txt"), "a cat").unwrap();
        let nginx = Proxy::nginx(&estate.parts());
        let tokens = estate.alice().await;
        let file = format!("{}/cat.txt", nginx.url);
        let http = estate.http.clone();
        let status = async || http.get(&file).bearer_auth(&tokens.access).send().await.unwrap().status();
        assert_eq!(status().await, 200);

        let address = estate.server.address.clone();
        estate.server.signal("-KILL");
        // What is known is good for two seconds more; then nothing is.
        until(async || status().await == 503).await;
        let answer = http.get(&file).bearer_auth(&tokens.access).send().await.unwrap();
        assert!(answer.headers().contains_key(RETRY_AFTER));
        assert!(!answer.headers().contains_key(WWW_AUTHENTICATE), "nothing is said about the token");
        assert_eq!(http.get(&file).send().await.unwrap().status(), 401, "without a token nothing changes");

        estate.server = estate.place.serve_at(&address);
        until(async || status().await == 200).await;
        let client = estate.world.client.0.clone();
        assert_eq!(estate.place.run(&["revoke", "client", &client]).exit, 0);
        until(async || status().await == 401).await;

        estate.sidecar.signal("-KILL");
        until(async || status().await == 503).await;
    }
}

#[tokio::test]
async fn nginx_replaces_forged_identity_headers() {
    let estate = Estate::build("jwt").await;
    let nginx = Proxy::nginx(&estate.parts());
    let get = |path: &str| forged(estate.http.get(format!("{}{path}", nginx.url)));
    let tokens = estate.alice().await;
    let subject = estate.visitor().introspect(&tokens.access).await["sub"].as_str().unwrap().to_owned();

    // Where a token is asked for, the application learns whose it is, and nothing else under these names.
    let seen: Value =
        get("/api/photos?of=cats").bearer_auth(&tokens.access).send().await.unwrap().json().await.unwrap();
    assert_eq!(seen["path"], "/api/photos?of=cats");
    let known = [subject.as_str(), &estate.world.client.0, "photos.read photos.write"];
    for (name, value) in IDENTITY.into_iter().zip(known) {
        assert_eq!(told(&seen, name), [value], "{name} in {seen}");
    }
    assert!(subject.starts_with("usr_"));
    assert!(told(&seen, "authorization").is_empty(), "the token stays outside");
    let upload = forged(estate.http.post(format!("{}/api/upload", nginx.url)));
    let seen = upload.bearer_auth(&tokens.access).body("a dog").send().await.unwrap();
    let seen: Value = seen.json().await.unwrap();
    assert_eq!(seen["method"], "POST");
    assert_eq!(told(&seen, "x-rescind-subject"), [&subject]);

    // Where none is asked for, it learns nothing, with a token or without.
    let public = get("/public/photos");
    for request in [public.try_clone().unwrap(), public.bearer_auth(&tokens.access)] {
        let seen: Value = request.send().await.unwrap().json().await.unwrap();
        for name in IDENTITY.into_iter().chain(["authorization"]) {
            assert!(told(&seen, name).is_empty(), "{name} in {seen}");
        }
    }

    // Without a token, with one that lacks a scope, and by the sidecar's own locations nothing arrives at all.
    let asked = estate.application.asked();
    assert_eq!(get("/api/photos").send().await.unwrap().status(), 401);
    let lacking = estate.token_for("photos.read").await;
    let answer = get("/api/upload").bearer_auth(&lacking).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(
        challenge(&answer),
        "Bearer realm=\"urn:photos\", error=\"insufficient_scope\", scope=\"photos.write\""
    );
    assert_eq!(get("/.guard/photos.read").bearer_auth(&lacking).send().await.unwrap().status(), 404);
    let more = get("/api/photos").header("x-rescind-require-scope", "photos.fly").bearer_auth(&lacking);
    assert_eq!(more.send().await.unwrap().status(), 403, "who demands more of himself is refused");
    assert_eq!(estate.application.asked(), asked);
}

#[tokio::test]
async fn caddy_lets_a_good_token_through_in_its_own_name_until_it_is_revoked() {
    for format in ["opaque", "jwt"] {
        let estate = Estate::build(format).await;
        let caddy = Proxy::caddy(&estate.parts());
        let get = || forged(estate.http.get(format!("{}/photos?of=cats", caddy.url)));
        let tokens = estate.alice().await;
        let with = async |token: &str| get().bearer_auth(token).send().await.unwrap();

        let seen: Value = with(&tokens.access).await.json().await.unwrap();
        assert_eq!(seen["path"], "/photos?of=cats");
        let facts = estate.visitor().introspect(&tokens.access).await;
        for (name, value) in IDENTITY.into_iter().zip([&facts["sub"], &facts["client_id"], &facts["scope"]]) {
            assert_eq!(told(&seen, name), [value.as_str().unwrap()], "{name} in {seen}");
        }
        assert!(told(&seen, "authorization").is_empty(), "the token stays outside");

        let asked = estate.application.asked();
        let answer = get().send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), challenge(&answer).as_str()),
            (401, r#"Bearer realm="urn:photos""#)
        );
        let answer = with(&estate.token_for("photos.write").await).await;
        assert_eq!(answer.status(), 403);
        assert_eq!(
            challenge(&answer),
            "Bearer realm=\"urn:photos\", error=\"insufficient_scope\", scope=\"photos.read\""
        );
        assert_eq!(estate.application.asked(), asked);

        assert_eq!(estate.place.run_with(&["revoke", "token", "-"], &tokens.refresh).exit, 0);
        until(async || with(&tokens.access).await.status() == 401).await;
        assert_eq!(challenge(&with(&tokens.access).await), INVALID_TOKEN);

        let good = estate.alice().await;
        assert_eq!(with(&good.access).await.status(), 200);
        estate.server.signal("-KILL");
        until(async || with(&good.access).await.status() == 503).await;
        estate.sidecar.signal("-KILL");
        until(async || with(&good.access).await.status() == 502).await;
    }
}

/// Sends a request line as it stands; clients normalise what they are given.
async fn raw(url: &str, target: &str, headers: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Paths that lead an application which normalises them elsewhere than nginx thinks, or the other way round.
const HOSTILE: [&str; 14] = [
    "/api/secret/../../public/x",
    "/api/secret/%2e%2e/%2e%2e/public/x",
    "/api/secret/..%2f..%2fpublic/x",
    "/api/secret/..%2F..%2Fpublic/x",
    "/api/secret/%252e%252e/%252e%252e/public/x",
    "/api/secret/..;/..;/public/x",
    "/api/secret/..%5c..%5cpublic/x",
    "/api/secret/..\\..\\public/x",
    "/public/../api/secret",
    "/public/%2e%2e/api/secret",
    "/public//../api/secret",
    "//api/secret",
    "/api/./upload",
    "/public/..%00/api/secret",
];

#[tokio::test]
async fn hostile_paths_reach_nothing_behind_nginx() {
    let estate = Estate::build("jwt").await;
    let nginx = Proxy::nginx(&estate.parts());
    let reading = estate.token_for("photos.read").await;
    let asked = estate.application.asked();
    for target in HOSTILE {
        for headers in [String::new(), format!("Authorization: Bearer {reading}\r\n")] {
            let answer = raw(&nginx.url, target, &headers).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        }
    }
    assert_eq!(estate.application.asked(), asked);
    // One scope's token does not reach the other's handler, and what is public stays so.
    let upload = ["/api/secret/../upload", "/api/%75pload/../upload"];
    for target in upload {
        let answer = raw(&nginx.url, target, &format!("Authorization: Bearer {reading}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    assert_eq!(estate.application.asked(), asked);
    assert!(raw(&nginx.url, "/public/a%20b?of=../x", "").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn hostile_paths_and_headers_reach_nothing_behind_caddy() {
    let estate = Estate::build("jwt").await;
    let caddy = Proxy::caddy(&estate.parts());
    let token = estate.token_for("photos.read").await;
    let asked = estate.application.asked();
    for target in HOSTILE {
        for headers in [String::new(), format!("Authorization: Bearer {token}\r\n")] {
            let answer = raw(&caddy.url, target, &headers).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer}");
        }
    }
    assert_eq!(estate.application.asked(), asked);
    // A header that is named as one of this connection is not taken away, and not replaced.
    for name in ["X-Rescind-Subject", "x-rescind-client, X-Rescind-Scope", "X_Rescind_Subject"] {
        let request = estate.http.get(format!("{}/photos", caddy.url)).bearer_auth(&token);
        let seen: Value =
            forged(request).header("connection", name).send().await.unwrap().json().await.unwrap();
        for header in IDENTITY {
            let told = told(&seen, header);
            assert!(told.len() == 1 && told[0] != "usr_forged", "{name}: {header} in {seen}");
        }
    }
}
