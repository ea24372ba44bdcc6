//! The rule of `model::stamp::is_live` in SQL, for statements that check and change at once.

/// A condition on the row `$row` of a table whose credentials belong to a user: that all it was
/// stamped with is open and current. The caller compares `expires_at` besides.
///
/// Tokens do without: their own row is enough, held against `store::revoked`.
macro_rules! live {
    ($row:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM server AS s, clients AS c, users AS u, grants AS g, families AS f",
            " WHERE s.id = 1 AND s.generation = ",
            $row,
            ".server_generation",
            " AND c.id = ",
            $row,
            ".client_id AND c.status = 'active' AND c.generation = ",
            $row,
            ".client_generation",
            " AND u.id = ",
            $row,
            ".user_id AND u.status = 'active' AND u.generation = ",
            $row,
            ".user_generation",
            " AND g.id = ",
            $row,
            ".grant_id AND g.status = 'open'",
            " AND f.id = ",
            $row,
            ".family_id AND f.status = 'open')"
        )
    };
}

pub(super) use live;
