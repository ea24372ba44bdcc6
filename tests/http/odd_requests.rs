//! Odd but legal requests: states with any character, and cookies of other applications.

use axum::body::Body;
use axum::http::header;

use crate::harness::browser::ConsentPage;
use crate::harness::{PASSWORD, Scene, scene};

#[tokio::test]
async fn the_state_parameter_survives_the_sign_in_with_any_character() {
    let Scene { world, app, .. } = scene().await;
    let query = app.request().without("state").encode();
    for (number, (sent, state)) in [
        ("a\\b", "a\\b"),
        ("%5Cb", "\\b"),
        ("\u{fc}\u{20ac}", "\u{fc}\u{20ac}"),
        ("{\"a\":[1|2]}^`", "{\"a\":[1|2]}^`"),
        ("//evil.example\\/", "//evil.example\\/"),
        ("%25%09%0A", "%\t\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let bob = world.person(&format!("bob-{number}")).await;
        let Ok(request) = world
            .request("GET", "/")
            .uri(format!("/oauth/authorize?{query}&state={sent}"))
            .body(Body::empty())
        else {
            // The parser of requests lets nothing else through.
            assert!(sent.contains(['`', '"']), "{sent}");
            continue;
        };
        let login = world.sends(request).await.location().to_owned();
        let page = bob.gets(&login).await.page(200).shows("Prints");
        let next = page.attribute("name=\"next\"", "value");
        let answer = bob.types(PASSWORD, &next).await;
        assert!(answer.location().starts_with("/oauth/authorize?"), "{sent}: {}", answer.location());
        let consent = ConsentPage::read(bob.gets(answer.location()).await.page(200));
        let done = bob.answers(&consent, "approve").await;
        assert_eq!(done.param("state").as_deref(), Some(state));
    }
}

#[tokio::test]
async fn cookies_of_other_applications_are_ignored() {
    let Scene { world, alice, .. } = scene().await;
    let own = format!("rescind={}", alice.session().unwrap()).into_bytes();
    let gets = async |lines: &[Vec<u8>]| {
        let mut request = world.request("GET", "/account");
        for line in lines {
            request = request.header(header::COOKIE, line.as_slice());
        }
        world.sends(request.body(Body::empty()).unwrap()).await.status
    };
    let beside = |before: &[u8], after: &[u8]| [before, own.as_slice(), after].concat();
    assert_eq!(gets(std::slice::from_ref(&own)).await, 200);
    for lines in [
        vec![beside(b"other=\xff; ", b"")],
        vec![beside(b"", b"; other=\xff\xfe")],
        vec![b"other=\xff".to_vec(), own.clone()],
        vec![own.clone(), b"\xff".to_vec()],
        vec![beside(b"rescind=of another; =; ;other=\"a; ", b"; rescind=\xff")],
        vec![beside(&b"a=b; ".repeat(2_000), b"")],
    ] {
        assert_eq!(gets(&lines).await, 200, "{:?}", lines.len());
    }
    assert_eq!(gets(&[b"rescind=\xff".to_vec()]).await, 303);
}
