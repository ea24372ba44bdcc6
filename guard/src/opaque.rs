//! The form of opaque access tokens, which only the server can read.

/// An opaque access token has this prefix, 43 random characters, and 6 characters of CRC-32.
pub const PREFIX: &str = "rsc_at_";
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// Whether an opaque token's checksum is right, so that a typo is refused without asking the server.
pub fn is_well_formed(token: &str) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if token.len() != PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS
        || !token.starts_with(PREFIX)
        || !token.as_bytes()[PREFIX.len()..].iter().all(u8::is_ascii_alphanumeric)
    {
        return false;
    }
    let (body, checksum) = token.split_at(token.len() - CHECKSUM_CHARS);
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    checksum.bytes().rev().all(|digit| {
        let expected = DIGITS[rest % 62];
        rest /= 62;
        digit == expected
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_refused_without_asking_the_server() {
        // As in the server's own test: prefix, 43 zeros, checksum.
        let body = format!("{PREFIX}{}", "0".repeat(RANDOM_CHARS));
        let mut rest = crc32fast::hash(body.as_bytes());
        let mut checksum = [b'0'; CHECKSUM_CHARS];
        for place in checksum.iter_mut().rev() {
            *place = match rest % 62 {
                digit @ 0..10 => b'0' + digit as u8,
                digit @ 10..36 => b'A' + (digit - 10) as u8,
                digit => b'a' + (digit - 36) as u8,
            };
            rest /= 62;
        }
        let token = format!("{body}{}", str::from_utf8(&checksum).unwrap());
        assert!(is_well_formed(&token));
        for place in 0..token.len() {
            let mut typo = token.clone().into_bytes();
            typo[place] = if typo[place] == b'7' { b'8' } else { b'7' };
            assert!(!is_well_formed(str::from_utf8(&typo).unwrap()), "at {place}");
        }
        assert!(!is_well_formed(&token[1..]));
        assert!(!is_well_formed("rsc_at_é"));
    }
}
