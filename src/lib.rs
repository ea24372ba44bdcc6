//! Rescind: an OAuth 2.0 authorization server in which taking access back works as well as giving it.
//!
//! # One rule
//! A **grant** is a user's standing authorization of one client. A **family** is what one authorization gave: the code and
//! all refreshed successors, one sign-in of the app. Every credential carries a [`model::stamp::Stamp`]: its family, grant,
//! client and user, and the generations that the server, the client and the user had. It is live while it has not expired,
//! all of these are open, and its generations are the current ones. So one small update ends any number of credentials, and
//! nothing has to be found, counted or deleted first.
//!
//! # Where things are
//! From the top; imports go downwards only. `docs/architecture.md` walks through it.
//! - [`cli`]: one file for each command; the server's start and end, its connections and its local socket.
//! - [`config`]: the settings, all checked at the start. [`app`]: what handlers share.
//! - [`routes`]: every URL in one table.
//! - [`oauth`] and [`web`]: the handlers of protocol endpoints and of pages.
//! - [`feed`]: what resource servers are told of revocations, and what they confirm.
//! - [`sidecar`]: `rescind guard`, which answers the proxies of resource servers. [`demo`]: the sample world.
//! - [`service`]: the verbs that change state, and the workers. All that takes access away is in [`service::revoke`].
//! - [`store`]: all SQL, one file for each table; [`store::memory`] is what is kept in memory; [`store::sqlite`] and
//!   [`store::postgres`] are the engines.
//! - [`jwt`]: signing keys, and JWT access tokens (RFC 9068).
//! - [`model`]: nouns and their rules, without I/O. [`clock`]: the one reading of the time.
//! - [`text`]: the sentences that people read.
//! - [`metrics`] and [`request`]: what the server counts about itself, and the id of the request under way.
//! - [`thread`]: the threads that answer requests, and what each has for itself.
//! - [`fail`]: where crash tests end the process; nothing in ordinary builds.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod fail;
pub mod feed;
pub mod jwt;
pub mod metrics;
pub mod model;
pub mod oauth;
pub mod request;
pub mod routes;
pub mod service;
pub mod sidecar;
pub mod store;
pub mod text;
pub mod thread;
pub mod web;
