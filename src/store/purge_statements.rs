//! The SQL of purges, written out in full.
//!
//! ?1 and ?2 are the id and the generation of what was revoked, ?3 limits the rows. A family's tokens are found by its
//! birth (`super::tokens`): its access tokens are in the 1,048,576 places from `created_at * 2097152` on, its refresh
//! tokens in the 1,048,576 places after those. Its codes are found by the first six bytes of their digests.

/// Statements for dead families, and for all that is found through them.
pub(super) struct Families {
    /// The next one to delete.
    pub(super) next: &'static str,
    /// Access tokens, refresh tokens, authorization codes, families.
    pub(super) counts: [&'static str; 4],
}

/// A closed family.
pub(super) static OF_FAMILY: Families = Families {
    next: "SELECT f.id FROM families AS f WHERE f.id = ?1 AND f.status = 'closed' LIMIT ?3",
    counts: [
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 AND \
         t.place < f.created_at * 2097152 + 1048576 AND t.family = substr(f.id, 5) WHERE f.id = ?1 AND f.status = \
         'closed' LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 + \
         1048576 AND t.place < f.created_at * 2097152 + 2097152 AND t.family = substr(f.id, 5) WHERE f.id = ?1 AND \
         f.status = 'closed' LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN authorization_codes AS t ON t.digest >= \
         unhex(format('%012x', f.created_at)) AND t.digest < unhex(format('%012x', f.created_at + 1)) AND t.family_id \
         = f.id WHERE f.id = ?1 AND f.status = 'closed' LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.id = ?1 AND f.status = 'closed' LIMIT ?3)",
    ],
};

/// Families of an ended grant.
pub(super) static OF_GRANT: Families = Families {
    next: "SELECT f.id FROM families AS f WHERE f.grant_id = ?1 LIMIT ?3",
    counts: [
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 AND \
         t.place < f.created_at * 2097152 + 1048576 AND t.family = substr(f.id, 5) WHERE f.grant_id = ?1 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 + \
         1048576 AND t.place < f.created_at * 2097152 + 2097152 AND t.family = substr(f.id, 5) WHERE f.grant_id = ?1 \
         LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN authorization_codes AS t ON t.digest >= \
         unhex(format('%012x', f.created_at)) AND t.digest < unhex(format('%012x', f.created_at + 1)) AND t.family_id \
         = f.id WHERE f.grant_id = ?1 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.grant_id = ?1 LIMIT ?3)",
    ],
};

/// Families of a client under lower generations.
pub(super) static OF_CLIENT: Families = Families {
    next: "SELECT f.id FROM families AS f WHERE f.client_id = ?1 AND f.client_generation < ?2 LIMIT ?3",
    counts: [
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 AND \
         t.place < f.created_at * 2097152 + 1048576 AND t.family = substr(f.id, 5) WHERE f.client_id = ?1 AND \
         f.client_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 + \
         1048576 AND t.place < f.created_at * 2097152 + 2097152 AND t.family = substr(f.id, 5) WHERE f.client_id = ?1 \
         AND f.client_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN authorization_codes AS t ON t.digest >= \
         unhex(format('%012x', f.created_at)) AND t.digest < unhex(format('%012x', f.created_at + 1)) AND t.family_id \
         = f.id WHERE f.client_id = ?1 AND f.client_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.client_id = ?1 AND f.client_generation < ?2 LIMIT ?3)",
    ],
};

/// Families of a user under lower generations.
pub(super) static OF_USER: Families = Families {
    next: "SELECT f.id FROM families AS f WHERE f.user_id = ?1 AND f.user_generation < ?2 LIMIT ?3",
    counts: [
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 AND \
         t.place < f.created_at * 2097152 + 1048576 AND t.family = substr(f.id, 5) WHERE f.user_id = ?1 AND \
         f.user_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN tokens AS t ON t.place >= f.created_at * 2097152 + \
         1048576 AND t.place < f.created_at * 2097152 + 2097152 AND t.family = substr(f.id, 5) WHERE f.user_id = ?1 \
         AND f.user_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN authorization_codes AS t ON t.digest >= \
         unhex(format('%012x', f.created_at)) AND t.digest < unhex(format('%012x', f.created_at + 1)) AND t.family_id \
         = f.id WHERE f.user_id = ?1 AND f.user_generation < ?2 LIMIT ?3)",
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.user_id = ?1 AND f.user_generation < ?2 LIMIT ?3)",
    ],
};

/// A statement that deletes rows of a table, and one that counts them.
pub(super) struct Rows {
    pub(super) delete: &'static str,
    pub(super) count: &'static str,
}

/// Tokens that a client got for itself (client_credentials).
pub(super) static TOKENS_OF_CLIENT: Rows = Rows {
    delete: "DELETE FROM tokens WHERE place IN (SELECT place FROM tokens WHERE client = substr(?1, 5) \
        AND family IS NULL AND client_generation < ?2 LIMIT ?3)",
    count: "SELECT count(*) FROM (SELECT 1 FROM tokens WHERE client = substr(?1, 5) AND family IS NULL \
        AND client_generation < ?2 LIMIT ?3)",
};

pub(super) static SESSIONS_OF_USER: Rows = Rows {
    delete: "DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE user_id = ?1 \
        AND user_generation < ?2 LIMIT ?3)",
    count: "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE user_id = ?1 AND user_generation < ?2 LIMIT ?3)",
};

/// Statements for the rows of the family ?3 with keys from ?1 up to ?2. `bound` finds the first row that stays when ?4
/// are deleted; `delete` deletes the rows before it.
pub(super) struct OneFamily {
    pub(super) bound: &'static str,
    pub(super) delete: &'static str,
}

/// The range of keys says which kind of token.
pub(super) static TOKENS: OneFamily = OneFamily {
    bound: "SELECT place FROM tokens WHERE place >= ?1 AND place < ?2 AND family = substr(?3, 5) \
        ORDER BY place LIMIT 1 OFFSET ?4",
    delete: "DELETE FROM tokens WHERE place >= ?1 AND place < ?2 AND family = substr(?3, 5)",
};

pub(super) static AUTHORIZATION_CODES: OneFamily = OneFamily {
    bound: "SELECT digest FROM authorization_codes WHERE digest >= ?1 AND digest < ?2 AND family_id = ?3 \
        ORDER BY digest LIMIT 1 OFFSET ?4",
    delete: "DELETE FROM authorization_codes WHERE digest >= ?1 AND digest < ?2 AND family_id = ?3",
};

pub(super) const DELETE_FAMILY: &str = "DELETE FROM families WHERE id = ?1";
