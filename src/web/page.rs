//! What every page has: who looks at it, where it stands, and how it says times and numbers.

use axum::http::HeaderValue;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::clock::Timestamp;
use crate::model::id::UserId;
use crate::model::user::{Role, Username};
use crate::store::users::User;
use crate::text::{Argument, t, t_with};

/// The part of the site that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    None,
    Authorizations,
    Apps,
    Account,
    AdminApps,
    AdminUsers,
    Ledger,
    Audit,
    ResourceServers,
}

/// The signed-in person who reads a page.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: UserId,
    pub username: Username,
    pub role: Role,
}

impl Person {
    pub fn of(user: &User) -> Self {
        Self { id: user.id.clone(), username: user.username.clone(), role: user.role }
    }
}

/// First field of every page.
#[derive(Clone, Debug)]
pub struct Page {
    pub user: Option<Person>,
    pub section: Section,
    now: Timestamp,
}

impl Page {
    pub const fn new(user: Option<Person>, section: Section, now: Timestamp) -> Self {
        Self { user, section, now }
    }

    pub fn t(&self, key: &str) -> String {
        t(key)
    }

    /// The sentence of one of several names that share a prefix.
    pub fn t_of(&self, prefix: &str, name: &str) -> String {
        t(&format!("{prefix}{name}"))
    }

    pub fn t1(&self, key: &str, name: &'static str, value: impl Argument) -> String {
        t_with(key, &[(name, &value)])
    }

    pub fn t2(
        &self,
        key: &str,
        name: &'static str,
        value: impl Argument,
        name_2: &'static str,
        value_2: impl Argument,
    ) -> String {
        t_with(key, &[(name, &value), (name_2, &value_2)])
    }

    pub fn is_future(&self, at: &Timestamp) -> bool {
        *at > self.now
    }

    pub fn moment(&self, at: &Timestamp) -> Moment {
        Moment::new(*at, self.now)
    }

    /// Whether the viewer may do what `role` may.
    pub fn may(&self, role: Role) -> bool {
        self.user.as_ref().is_some_and(|person| person.role >= role)
    }

    pub fn is_in(&self, section: Section) -> bool {
        self.section == section
    }

    /// Whether the page is one of those for admins.
    pub const fn is_for_admins(&self) -> bool {
        use Section::{AdminApps, AdminUsers, Audit, Ledger, ResourceServers};
        matches!(self.section, AdminApps | AdminUsers | Ledger | Audit | ResourceServers)
    }

    /// Whether the person moderates.
    pub fn is_admin(&self) -> bool {
        self.may(Role::Admin)
    }

    /// Whether `username` is the person who looks.
    pub fn is_me(&self, username: &str) -> bool {
        self.user.as_ref().is_some_and(|person| person.username.as_str() == username)
    }
}

macro_rules! policy {
    ($form_target:literal) => {
        concat!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; ",
            "form-action 'self'",
            $form_target,
            "; frame-ancestors 'none'; base-uri 'none'"
        )
    };
}

/// The policy of a page: nothing but our own stylesheet, script and icon, and no framing.
///
/// Chromium applies `form-action` to all redirects that follow a form, even those of other sites. So where an app comes
/// next, a form is answered with a page (`web::go_on`). Only for an app's private scheme there is still a redirect, and
/// `form_target` allows it.
pub fn content_security_policy(form_target: Option<&str>) -> HeaderValue {
    // Every answer carries it, so the usual one is ready-made.
    const USUAL: HeaderValue = HeaderValue::from_static(policy!(""));
    let Some(target) = form_target else { return USUAL };
    HeaderValue::from_str(&format!(policy!(" {}"), target)).unwrap_or(USUAL)
}

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:long] [year]");
const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]");
const ISO: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A time as people read it, with the exact one beside.
#[derive(Clone, Debug)]
pub struct Moment {
    pub iso: String,
    pub exact: String,
    pub relative: String,
    pub day: String,
    pub clock: String,
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        let utc = at.utc();
        // These formats have no component that a time could lack.
        let format = |items| utc.format(items).unwrap_or_default();
        let (day, clock) = (format(DAY), format(CLOCK));
        let seconds = i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
        let relative = match seconds {
            0..60 => t("time-now"),
            60..3_600 => t_with("time-minutes", &[("count", &(seconds / 60))]),
            3_600..86_400 => t_with("time-hours", &[("count", &(seconds / 3_600))]),
            86_400..2_592_000 => t_with("time-days", &[("count", &(seconds / 86_400))]),
            _ => day.clone(),
        };
        Self {
            iso: format(ISO),
            exact: format!("{day}, {clock} UTC"),
            relative,
            day,
            clock: format!("{clock} UTC"),
        }
    }
}

/// The first letter or digit of a name, for the circle beside it.
pub fn monogram(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_with_the_exact_one_beside() {
        let at = Timestamp::from_millis(1_795_356_187_000);
        let after = |seconds| Moment::new(at, at.plus(std::time::Duration::from_secs(seconds)));
        assert_eq!(after(5).relative, "just now");
        assert_eq!(after(3 * 3600 + 5).relative, "3 hours ago");
        assert_eq!(after(86_400).relative, "yesterday");
        assert_eq!(after(90 * 86_400).relative, "22 November 2026");
        assert_eq!(after(0).exact, "22 November 2026, 14:03:07 UTC");
        assert_eq!(after(0).iso, "2026-11-22T14:03:07Z");
    }

    #[test]
    fn a_monogram_is_a_letter() {
        assert_eq!(monogram("„Über“"), "Ü");
        assert_eq!(monogram("…"), "");
    }
}
