//! Lists that can be searched and come fifty rows a page.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::store::client_lists::Rows;

#[derive(Args, Serialize, Deserialize)]
pub struct List {
    // Each list says in its help what it looks through.
    #[arg(long, default_value = "")]
    pub search: String,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
}

impl List {
    /// The page as the store counts it, from 0.
    pub const fn store_page(&self) -> u32 {
        self.page.saturating_sub(1)
    }

    /// The answer: the rows found, under `name`.
    pub fn answer<Row>(&self, name: &str, found: &Rows<Row>, row_json: impl Fn(&Row) -> Value) -> Value {
        let rows: Vec<Value> = found.rows.iter().map(row_json).collect();
        json!({ name: rows, "page": self.page, "has_more": found.has_more })
    }
}
