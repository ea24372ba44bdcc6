//! A sample app's registration, and the two servers that it talks to.

#[derive(Clone)]
pub struct Settings {
    /// The authorization server, exactly as it names itself.
    pub issuer: String,
    pub client_id: String,
    /// Absent for a public client.
    pub client_secret: Option<String>,
    /// Where the app is reached, with the path `/callback`.
    pub redirect_uri: String,
    /// The sample API, without a path.
    pub api: String,
    /// How it is asked for photos: `GET` and the path there.
    pub call: &'static str,
    /// How the API checks the app's tokens, in a sentence.
    pub checking: &'static str,
    /// The cookie's name: browsers share cookies between the ports of one host.
    pub cookie: &'static str,
    pub scopes: Vec<String>,
    /// The shop's name, as it is registered.
    pub name: String,
}
