//! The pages, one file per area.

pub mod account;
pub mod address;
pub mod assets;
pub mod authorizations;
pub mod consent;
pub mod device;
pub mod error;
pub mod form;
pub mod page;
pub mod session;
pub mod sign_in;
pub mod text;
