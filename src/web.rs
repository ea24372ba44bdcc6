//! The pages, one file per area.

pub mod account;
pub mod address;
pub mod app_acts;
pub mod app_form;
pub mod assets;
pub mod authorizations;
pub mod consent;
pub mod developer;
pub mod device;
pub mod error;
pub mod form;
pub mod page;
pub mod session;
pub mod sign_in;
pub mod text;
