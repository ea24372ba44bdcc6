//! Records acts that give power or change who has it, and that end no credential.

use crate::model::audit::{Event, Object, Record};
use crate::model::by::By;
use crate::model::id::ReceiptId;
use crate::store::{self, Tx};

/// Appends a row, in the transaction of the act. `detail` says what the act changed.
///
/// # Errors
/// When the store fails.
pub fn record(
    tx: &Tx<'_>,
    event: Event,
    object: Object,
    detail: Option<String>,
    by: &By,
) -> store::Result<()> {
    let receipt = ReceiptId::generate(by.at);
    tx.insert_audit(&Record { receipt, event, object, detail }, by)
}
