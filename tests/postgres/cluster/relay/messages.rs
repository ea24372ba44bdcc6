//! As much of PostgreSQL's protocol as it takes to count statements and to recognize their answers.
//! <https://www.postgresql.org/docs/15/protocol-message-formats.html>

use std::collections::HashMap;
use std::io::{self, Read};

const PROTOCOL_3: u32 = 0x0003_0000;
const CANCEL: u32 = 80_877_102;
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// What a program begins with. These messages have no type byte.
pub enum Opening {
    Start,
    /// Whether the connection can be encrypted. The test servers answer with one byte: no.
    Encryption,
    Cancellation,
}

pub fn read_opening(from: &mut impl Read) -> io::Result<(Opening, Vec<u8>)> {
    let mut message = Vec::new();
    read_body(from, &mut message)?;
    let opening = match code(&message) {
        Some(PROTOCOL_3) => Opening::Start,
        Some(CANCEL) => Opening::Cancellation,
        Some(code) if ENCRYPTION.contains(&code) => Opening::Encryption,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok((opening, message))
}

/// What an opening message asks for.
fn code(opening: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(opening.get(4..8)?.try_into().ok()?))
}

/// The byte by which a server refuses to encrypt.
pub fn read_refusal(from: &mut impl Read) -> io::Result<[u8; 1]> {
    let mut answer = [0];
    from.read_exact(&mut answer)?;
    assert_eq!(&answer, b"N", "this line reads no encrypted messages");
    Ok(answer)
}

pub fn read_end(from: &mut impl Read) -> io::Result<()> {
    io::copy(from, &mut io::sink()).map(|_| ())
}

/// One whole message, with its type byte and its length.
pub fn read(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = vec![0];
    from.read_exact(&mut message)?;
    read_body(from, &mut message)?;
    Ok(message)
}

/// The length, which counts itself, and what follows it.
fn read_body(from: &mut impl Read, message: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    message.extend(length);
    let rest = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
    let read = from.take(rest).read_to_end(message)?;
    if read as u64 == rest { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// ReadyForQuery: the database has answered everything it was asked.
pub fn ends_answer(message: &[u8]) -> bool {
    message[0] == b'Z'
}

/// What was said on one connection.
#[derive(Default)]
pub struct Conversation {
    /// The text of each prepared statement, and of what is bound to each portal, by name.
    prepared: HashMap<Vec<u8>, String>,
    bound: HashMap<Vec<u8>, String>,
    asked: u64,
    answered: u64,
    lost: Option<u64>,
}

impl Conversation {
    /// Reads a message of the program. The statement, if this one executes one.
    pub fn read(&mut self, message: &[u8]) -> Option<String> {
        let mut strings = message.get(5..)?.split(|byte| *byte == 0);
        let mut string = || strings.next().unwrap_or_default().to_vec();
        match message[0] {
            // Query: some text.
            b'Q' => Some(text(&string())),
            // Parse: a name and a text.
            b'P' => {
                let (name, sql) = (string(), string());
                self.prepared.insert(name, text(&sql));
                None
            }
            // Bind: a portal and the name of a prepared statement.
            b'B' => {
                let (portal, name) = (string(), string());
                let sql = self.prepared.get(&name).cloned().unwrap_or_default();
                self.bound.insert(portal, sql);
                None
            }
            // Execute: a portal.
            b'E' => Some(self.bound.get(&string()).cloned().unwrap_or_default()),
            _ => None,
        }
    }

    /// The program has sent something that the database answers as a whole.
    pub fn asks(&mut self) {
        self.asked += 1;
    }

    /// Loses the whole answer of which the next statement is a part.
    pub fn lose_next_answer(&mut self) {
        self.lost = Some(self.asked + 1);
    }

    pub fn loses_this_answer(&self) -> bool {
        self.lost == Some(self.answered + 1)
    }

    pub fn is_answered(&mut self) {
        self.answered += 1;
    }
}

/// Query, Sync, or the message that starts the conversation: the program waits for an answer.
pub fn asks(message: &[u8]) -> bool {
    // Messages without a type byte begin with that of their length, which is short.
    matches!(message[0], b'Q' | b'S') || message[0] == 0 && code(message) == Some(PROTOCOL_3)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
