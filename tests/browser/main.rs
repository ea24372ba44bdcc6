//! The real program in a real browser: few tests, one journey per persona.
//!
//! Needs Chromium, chromedriver and the packages of `tests/stock` (`npm ci` there); `scripts/test.sh` sees to all three.
//! With `RESCIND_SCREENS=folder`, every page looked at leaves its pictures in that folder.

mod gallery;
mod harness;
mod journey_admin;
mod journey_developer;
mod journey_user;
mod page;
mod receipt;
mod redirects;
