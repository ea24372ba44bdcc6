//! `--reason`: why an operator decides about somebody else's app or account.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::model::by::By;
use crate::model::client::parse_reason;
use crate::text::t;

#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reason {
    /// Why: one sentence, which is recorded with the act
    #[arg(long)]
    reason: Option<String>,
}

impl Reason {
    /// `by`, with the reason.
    ///
    /// # Errors
    /// When it is too long, empty, or has characters that nobody sees.
    pub fn add_to(self, by: By) -> Result<By, Failure> {
        match self.reason.map(|text| parse_reason(&text)) {
            None => Ok(by),
            Some(Ok(reason)) => Ok(by.because(reason)),
            Some(Err(key)) => Err(Failure::usage(format!("--reason: {}", t(key)))),
        }
    }
}
