//! `rescind user list` and `show`.

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::Output;
use crate::cli::command::{Failure, user_named};
use crate::model::user::Role;
use crate::store::user_lists::{UserRow, UserSearch};
use crate::web::page::iso;

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Fifty people a page, by name
    List {
        /// Part of a name or an e-mail address, or an id
        #[arg(long, default_value = "")]
        search: String,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        page: u32,
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
    },
    /// What is known of a person
    Show {
        name: String,
        #[command(flatten)]
        #[serde(skip)]
        output: Output,
    },
}

impl Task {
    pub const fn output(&self) -> Output {
        match self {
            Self::List { output, .. } | Self::Show { output, .. } => *output,
        }
    }

    /// # Errors
    /// With the exit code.
    pub async fn run(self, app: &App) -> Result<Value, Failure> {
        match self {
            Self::List { search, page, .. } => {
                let search =
                    UserSearch { text: search, page: page.saturating_sub(1), ..UserSearch::default() };
                let found = app.store.search_users(&search).await?;
                let users: Vec<Value> = found.rows.iter().map(user_json).collect();
                Ok(json!({ "users": users, "page": page, "has_more": found.has_more }))
            }
            Self::Show { name, .. } => {
                let id = user_named(app, &name)?;
                let row = app.store.user_row(&id).await?.ok_or_else(|| Failure::not_found("user"))?;
                Ok(user_json(&row))
            }
        }
    }
}

fn user_json(row: &UserRow) -> Value {
    let is_stuck = row.own_apps > 0 && (!row.status.is_active() || row.role < Role::Developer);
    json!({
        "id": row.id, "username": row.username, "email": row.email, "role": row.role, "status": row.status.as_str(),
        "created_at": iso(row.created_at), "apps": row.apps, "own_apps": row.own_apps,
        // Nobody can manage them: `client set-owner` hands them over.
        "own_apps_stuck": is_stuck,
    })
}
