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

/// An insertion of one row's values, written out for several rows. `None` if the statement is anything else, or updates
/// what it finds: that can't be done twice to one row.
pub fn of_rows(statement: &str, rows: usize) -> Option<String> {
    let (before, rest) = statement.split_once(" VALUES (")?;
    let (row, after) = rest.split_once(')').filter(|(_, after)| !after.contains("DO UPDATE"))?;
    // Parameters, and what is the same in all rows.
    let values: Vec<_> = row.split(", ").collect();
    let parameter = |value: &str| value.strip_prefix('?')?.parse::<usize>().ok();
    if values.iter().any(|value| parameter(value).is_none() && value.contains(['?', '('])) {
        return None;
    }
    let many = values.iter().filter_map(|value| parameter(value)).max()?;
    let value = |value: &&str, row: usize| match parameter(value) {
        Some(place) => format!("?{}", row * many + place),
        None => (*value).to_owned(),
    };
    let of_row =
        |row| format!("({})", values.iter().map(|text| value(text, row)).collect::<Vec<_>>().join(", "));
    let rows: Vec<_> = (0..rows).map(of_row).collect();
    Some(format!("{before} VALUES {}{after}", rows.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insertion_is_written_out_for_several_rows() {
        let one = "INSERT INTO t (a, b, c) VALUES (?1, 'x', ?2) ON CONFLICT DO NOTHING";
        let three = "INSERT INTO t (a, b, c) VALUES (?1, 'x', ?2), (?3, 'x', ?4), (?5, 'x', ?6) ON CONFLICT DO NOTHING";
        assert_eq!(of_rows(one, 1).as_deref(), Some(one));
        assert_eq!(of_rows(one, 3).as_deref(), Some(three));
        let update = "INSERT INTO t (a) VALUES (?1) ON CONFLICT (a) DO UPDATE SET b = 1";
        let call = "INSERT INTO t (a) VALUES (lower(?1))";
        for other in ["DELETE FROM t WHERE a = ?1", "INSERT INTO t (a) SELECT ?1", update, call] {
            assert_eq!(of_rows(other, 2), None, "{other}");
        }
    }

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
