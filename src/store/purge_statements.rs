//! The SQL of purges, written out in full.
//!
//! ?1 and ?2 are the id and the generation of what was revoked, ?3 limits the rows. A family's tokens are found by its
//! birth (`super::tokens`): its access tokens are in the 1,048,576 places from `created_at * 2097152` on, its refresh
//! tokens in the 1,048,576 places after those. Its codes are found by the first six bytes of their digests.
//!
//! PostgreSQL has to know the type of every parameter, so where ?2 does not matter it is named all the same.

/// Finds dead families, and counts them and all that is found through them.
pub(super) struct DeadFamiliesSql {
    /// The next family to delete.
    pub(super) next: &'static str,
    /// Access tokens, refresh tokens, authorization codes, families.
    pub(super) counts: [&'static str; 4],
}

/// Counts tokens. PostgreSQL does not look for a family's rows with every join, only with a sub-select of its own.
macro_rules! tokens {
    ($places:literal, $where:literal) => {
        concat!(
            "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN /*postgres LATERAL (SELECT 1 FROM*/ tokens AS t ",
            "/*sqlite*/ON/*end*/ /*postgres WHERE*/ ",
            $places,
            " AND t.family_id = substr(f.id, 5) /*postgres OFFSET 0) AS t ON true*/ WHERE ",
            $where,
            " LIMIT ?3) AS found"
        )
    };
}

/// Counts authorization codes. Their digests begin with the family's birth: twelve digits in hex.
macro_rules! codes {
    ($where:literal) => {
        concat!(
            "SELECT count(*) FROM (SELECT 1 FROM families AS f JOIN /*postgres LATERAL (SELECT 1 FROM*/ ",
            "authorization_codes AS t /*sqlite*/ON/*end*/ /*postgres WHERE*/ t.family_id = f.id ",
            "AND t.digest >= /*sqlite*/unhex(format('%012x', f.created_at))/*end*/",
            "/*postgres decode(lpad(to_hex(f.created_at), 12, '0'), 'hex')*/ ",
            "AND t.digest < /*sqlite*/unhex(format('%012x', f.created_at + 1))/*end*/",
            "/*postgres decode(lpad(to_hex(f.created_at + 1), 12, '0'), 'hex') OFFSET 0) AS t ON true*/ WHERE ",
            $where,
            " LIMIT ?3) AS found"
        )
    };
}

/// A closed family.
pub(super) static OF_FAMILY: DeadFamiliesSql = DeadFamiliesSql {
    next: "SELECT f.id FROM families AS f WHERE f.id = ?1 AND f.status = 'closed' \
        /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/ LIMIT ?3",
    counts: [
        tokens!(
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576",
            "f.id = ?1 AND f.status = 'closed' /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"
        ),
        tokens!(
            "t.place >= f.created_at * 2097152 + 1048576 AND t.place < f.created_at * 2097152 + 2097152",
            "f.id = ?1 AND f.status = 'closed' /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"
        ),
        codes!("f.id = ?1 AND f.status = 'closed' /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"),
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.id = ?1 AND f.status = 'closed' \
         /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/ LIMIT ?3) AS found",
    ],
};

/// Families of an ended grant.
pub(super) static OF_GRANT: DeadFamiliesSql = DeadFamiliesSql {
    next: "SELECT f.id FROM families AS f WHERE f.grant_id = ?1 \
        /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/ LIMIT ?3",
    counts: [
        tokens!(
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576",
            "f.grant_id = ?1 /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"
        ),
        tokens!(
            "t.place >= f.created_at * 2097152 + 1048576 AND t.place < f.created_at * 2097152 + 2097152",
            "f.grant_id = ?1 /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"
        ),
        codes!("f.grant_id = ?1 /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/"),
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.grant_id = ?1 \
         /*postgres AND (CAST(?2 AS BIGINT) > 0 OR true)*/ LIMIT ?3) AS found",
    ],
};

/// Families of a client under lower generations.
pub(super) static OF_CLIENT: DeadFamiliesSql = DeadFamiliesSql {
    next: "SELECT f.id FROM families AS f WHERE f.client_id = ?1 AND f.client_generation < ?2 LIMIT ?3",
    counts: [
        tokens!(
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576",
            "f.client_id = ?1 AND f.client_generation < ?2"
        ),
        tokens!(
            "t.place >= f.created_at * 2097152 + 1048576 AND t.place < f.created_at * 2097152 + 2097152",
            "f.client_id = ?1 AND f.client_generation < ?2"
        ),
        codes!("f.client_id = ?1 AND f.client_generation < ?2"),
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.client_id = ?1 AND f.client_generation < ?2 \
         LIMIT ?3) AS found",
    ],
};

/// Families of a user under lower generations.
pub(super) static OF_USER: DeadFamiliesSql = DeadFamiliesSql {
    next: "SELECT f.id FROM families AS f WHERE f.user_id = ?1 AND f.user_generation < ?2 LIMIT ?3",
    counts: [
        tokens!(
            "t.place >= f.created_at * 2097152 AND t.place < f.created_at * 2097152 + 1048576",
            "f.user_id = ?1 AND f.user_generation < ?2"
        ),
        tokens!(
            "t.place >= f.created_at * 2097152 + 1048576 AND t.place < f.created_at * 2097152 + 2097152",
            "f.user_id = ?1 AND f.user_generation < ?2"
        ),
        codes!("f.user_id = ?1 AND f.user_generation < ?2"),
        "SELECT count(*) FROM (SELECT 1 FROM families AS f WHERE f.user_id = ?1 AND f.user_generation < ?2 \
         LIMIT ?3) AS found",
    ],
};

/// A statement that deletes rows of a table, and one that counts them.
pub(super) struct DeadRowsSql {
    pub(super) delete: &'static str,
    pub(super) count: &'static str,
}

/// Tokens that a client got for itself (client_credentials).
pub(super) static TOKENS_OF_CLIENT: DeadRowsSql = DeadRowsSql {
    delete: "DELETE FROM tokens WHERE place /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT place \
        FROM tokens WHERE client_id = substr(?1, 5) AND family_id IS NULL AND client_generation < ?2 LIMIT ?3 /*postgres FOR UPDATE SKIP LOCKED)*/)",
    count: "SELECT count(*) FROM (SELECT 1 FROM tokens WHERE client_id = substr(?1, 5) AND family_id IS NULL \
        AND client_generation < ?2 LIMIT ?3) AS found",
};

pub(super) static SESSIONS_OF_USER: DeadRowsSql = DeadRowsSql {
    delete: "DELETE FROM sessions WHERE digest /*sqlite*/IN/*end*/ /*postgres = ANY (ARRAY*/ (SELECT digest \
        FROM sessions WHERE user_id = ?1 AND user_generation < ?2 LIMIT ?3 /*postgres FOR UPDATE SKIP LOCKED)*/)",
    count: "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE user_id = ?1 AND user_generation < ?2 LIMIT ?3) AS found",
};

/// Statements for the rows of the family ?3 with keys from ?1 up to ?2. `bound` finds the first row that stays when ?4
/// are deleted; `delete` deletes the rows before it.
pub(super) struct FamilyRowsSql {
    pub(super) bound: &'static str,
    pub(super) delete: &'static str,
}

/// The range of keys says which kind of token.
pub(super) static TOKENS: FamilyRowsSql = FamilyRowsSql {
    bound: "SELECT place FROM tokens WHERE place >= ?1 AND place < ?2 AND family_id = substr(?3, 5) \
        ORDER BY place LIMIT 1 OFFSET ?4",
    delete: "DELETE FROM tokens WHERE place >= ?1 AND place < ?2 AND family_id = substr(?3, 5)",
};

pub(super) static AUTHORIZATION_CODES: FamilyRowsSql = FamilyRowsSql {
    bound: "SELECT digest FROM authorization_codes WHERE digest >= ?1 AND digest < ?2 AND family_id = ?3 \
        ORDER BY digest LIMIT 1 OFFSET ?4",
    delete: "DELETE FROM authorization_codes WHERE digest >= ?1 AND digest < ?2 AND family_id = ?3",
};

pub(super) const DELETE_FAMILY: &str = "DELETE FROM families WHERE id = ?1";
