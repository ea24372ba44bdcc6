//! The pages, one file per area.

pub mod account;
pub mod admin_apps;
pub mod admin_users;
pub mod app_acts;
pub mod app_form;
pub mod assets;
pub mod authorizations;
pub mod consent;
pub mod developer;
pub mod device;
pub mod error;
pub mod export;
pub mod form;
pub mod go_on;
pub mod guards;
pub mod ledger;
pub mod metrics;
pub mod once;
pub mod page;
pub mod reach;
pub mod receipt;
pub mod resource_servers;
pub mod session;
pub mod sign_in;
pub mod text;
pub mod visit;
