//! `rescind user list`, `show`, `add`, `set-role` and `set-password`.

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::failure::Failure;
use crate::cli::input::line_from_stdin;
use crate::cli::list::List;
use crate::cli::reason::Reason;
use crate::clock::iso;
use crate::model::by::By;
use crate::model::id::UserId;
use crate::model::password::Password;
use crate::model::user::{Role, Username, is_email};
use crate::service::moderate;
use crate::service::register::{self, NewUser};
use crate::store::user_lists::{UserRow, UserSearch};
use crate::text::t;

const ROLES: &str = "user, developer or admin";

#[derive(Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserCommand {
    /// Fifty people a page, by name
    #[command(mut_arg("search", |search| search.help("Part of a name or an e-mail address, or an id")))]
    List(List),
    /// What is known of a person
    Show { name: String },
    /// Add a person
    Add {
        name: String,
        #[arg(long)]
        email: Option<String>,
        /// user, developer or admin
        #[arg(long, default_value = "user")]
        role: String,
        #[command(flatten)]
        password: PasswordFromStdin,
    },
    /// Set what a person may do: user, developer or admin
    SetRole {
        name: String,
        role: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Set a person's password; their browsers are signed out
    SetPassword {
        name: String,
        #[command(flatten)]
        password: PasswordFromStdin,
        #[command(flatten)]
        reason: Reason,
    },
}

/// A password is no argument: other processes can read a command line.
#[derive(clap::Args, Serialize, Deserialize)]
pub struct PasswordFromStdin {
    /// Read the password from standard input
    #[arg(long, required = true)]
    #[serde(skip)]
    password_stdin: bool,
    #[arg(skip)]
    text: String,
}

impl PasswordFromStdin {
    fn chosen(self) -> Result<Password, Failure> {
        Password::chosen(self.text).map_err(|key| Failure::usage(t(key)))
    }
}

impl UserCommand {
    /// Reads the password.
    pub fn complete(&mut self) -> Result<(), Failure> {
        if let Self::Add { password, .. } | Self::SetPassword { password, .. } = self {
            password.text = line_from_stdin()?;
        }
        Ok(())
    }

    pub async fn execute(self, app: &App, by: By) -> Result<Value, Failure> {
        match self {
            Self::List(list) => {
                let (text, page) = (list.search.clone(), list.store_page());
                let search = UserSearch { text, page, ..UserSearch::default() };
                Ok(list.answer("users", &app.store.search_users(&search).await?, user_json))
            }
            Self::Show { name } => {
                let id = user_named(app, &name).await?;
                let row = app.store.user_row(&id).await?.ok_or_else(|| Failure::not_found("user"))?;
                Ok(user_json(&row))
            }
            Self::Add { name, email, role, password } => {
                let username = username(&name)?;
                let new = NewUser {
                    username: username.clone(),
                    email: email.map(self::email).transpose()?,
                    role: Role::parse(&role).ok_or_else(|| Failure::argument("--role", ROLES))?,
                    password: password.chosen()?,
                };
                let added = register::user(&app.store, &app.passwords, new, by).await;
                let id = added.map_err(|error| Failure::not_added("a user", error))?;
                Ok(json!({ "id": id, "username": username }))
            }
            Self::SetRole { name, role, reason } => set_role(app, &name, &role, reason.add_to(by)?).await,
            Self::SetPassword { name, password, reason } => {
                let by = reason.add_to(by)?;
                let (username, password) = (username(&name)?, password.chosen()?);
                let id = register::set_password(&app.store, &app.passwords, username, password, by).await?;
                Ok(json!({ "id": id.ok_or_else(|| Failure::not_found("user"))? }))
            }
        }
    }
}

async fn set_role(app: &App, name: &str, role: &str, by: By) -> Result<Value, Failure> {
    let user = user_named(app, name).await?;
    let role = Role::parse(role).ok_or_else(|| Failure::argument("ROLE", ROLES))?;
    match moderate::set_role(&app.store, user.clone(), role, by).await {
        Ok(()) => Ok(json!({ "id": user, "role": role })),
        Err(moderate::Error::NotFound) => Err(Failure::not_found("user")),
        Err(error) => Err(Failure::refused(error.to_string())),
    }
}

/// The person of this name.
///
/// # Errors
/// When there is none.
pub async fn user_named(app: &App, name: &str) -> Result<UserId, Failure> {
    let user = match Username::parse(name) {
        Some(name) => app.store.user_id(&name).await?,
        None => None,
    };
    user.ok_or_else(|| Failure::not_found("user"))
}

/// # Errors
/// When nobody can have this name.
pub fn username(text: &str) -> Result<Username, Failure> {
    let expected = "1 to 64 of a-z, 0-9, '.', '_' and '-'";
    Username::parse(text).ok_or_else(|| Failure::argument("NAME", expected))
}

fn email(text: String) -> Result<String, Failure> {
    if is_email(&text) { Ok(text) } else { Err(Failure::argument("--email", "an e-mail address")) }
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
