//! A resource server that looks tokens up.

use axum::body::Body;
use axum::http::header;
use serde_json::{Value, json};

use super::World;
use super::answer::Answer;
use super::client::basic;
use super::fields::{FORM, Fields};

pub struct Api {
    pub world: World,
    pub id: String,
    pub secret: String,
}

impl Api {
    pub async fn posts_as(&self, authorization: Option<&str>, fields: &Fields) -> Answer {
        let mut request = self.world.request("POST", "/oauth/introspect").header(header::CONTENT_TYPE, FORM);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.world.sends(request.body(Body::from(fields.encode())).unwrap()).await
    }

    pub async fn posts(&self, fields: &Fields) -> Answer {
        self.posts_as(Some(&basic(&self.id, &self.secret)), fields).await
    }

    pub async fn introspects(&self, token: &str) -> Value {
        let answer = self.posts(&Fields::new(&[("token", token)])).await.is(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        if body["active"] != true {
            assert_eq!(body, json!({ "active": false }), "an inactive token has no other member");
        }
        body
    }

    /// Whether the API would accept this access token.
    pub async fn accepts(&self, token: &str) -> bool {
        self.introspects(token).await["active"] == true
    }
}
