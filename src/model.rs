//! The nouns and their rules, without input or output.

pub mod act;
pub mod audit;
pub mod budget;
pub mod by;
pub mod canary;
pub mod client;
pub mod confirmation;
pub mod grant;
pub mod id;
pub mod key;
pub mod names;
pub mod params;
pub mod password;
pub mod purge;
pub mod redirect_uri;
pub mod resource_server;
pub mod scope;
pub mod secret;
pub mod stamp;
pub mod standby;
pub mod text;
pub mod user;
