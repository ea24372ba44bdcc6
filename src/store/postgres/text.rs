//! Statements in PostgreSQL's words. The store's statements are written for both databases; where they can't say the
//! same, `/*sqlite*/ … /*end*/` encloses what only SQLite reads, and `/*postgres … */` what only PostgreSQL reads.

const ONLY_SQLITE: (&str, &str) = ("/*sqlite*/", "/*end*/");
const ONLY_POSTGRES: &str = "/*postgres";

/// Parameters are `?1` in the store's statements, and `$1` in PostgreSQL.
pub fn translated(statement: &str) -> String {
    let mut translated = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(ONLY_SQLITE.0) {
            rest = after.split_once(ONLY_SQLITE.1).map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix(ONLY_POSTGRES) {
            let (inside, after) = after.split_once("*/").unwrap_or((after, ""));
            translated.push_str(&inside.replace('?', "$"));
            rest = after;
        } else {
            translated.push(if letter == '?' { '$' } else { letter });
            rest = &rest[letter.len_utf8()..];
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_reads_its_own_words() {
        let both = "DELETE FROM t WHERE a IN /*sqlite*/(SELECT ?1)/*end*//*postgres = ANY (ARRAY (SELECT ?1 FOR UPDATE))*/ AND b = ?2";
        assert_eq!(
            translated(both),
            "DELETE FROM t WHERE a IN  = ANY (ARRAY (SELECT $1 FOR UPDATE)) AND b = $2"
        );
        assert_eq!(translated("SELECT 1 /*postgres FOR UPDATE*/"), "SELECT 1  FOR UPDATE");
    }
}
