//! The line between program and database, which can be held, slowed, cut, and cut exactly at a byte or a statement.
//!
//! The guard's tests have a line that moves bytes on the runtime of the test. This one reads PostgreSQL's protocol, and
//! runs on threads of its own, so that it carries while the test's thread waits for the database.

mod messages;

use std::collections::HashMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use messages::{Conversation, Opening};
use url::Url;

use super::Cluster;

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Open,
    /// They wait here, and connections stay.
    Held,
    /// Connections break, and no new one comes about.
    Cut,
}

/// Where a connection breaks, counted over all connections from the moment at which it was asked for; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// This byte does not reach the database.
    BeforeByte(u64),
    /// This statement does not reach the database.
    BeforeStatement(usize),
    /// The database executes this statement, and its answer gets lost.
    AfterStatement(usize),
}

/// An address for programs, whatever happens to the database behind it.
pub struct Relay {
    port: u16,
    line: Arc<Line>,
}

struct Line {
    condition: Mutex<Condition>,
    changed: Condvar,
}

struct Condition {
    passage: Passage,
    /// The port of the database.
    database: u16,
    delay: Duration,
    /// Where the next break is, and what becomes of the whole line then.
    next_break: Option<(Break, Passage)>,
    bytes: u64,
    /// The only statement that counts, if not all do.
    counted: Option<String>,
    statements: Vec<String>,
    /// Both ends of each connection.
    connections: HashMap<u64, [TcpStream; 2]>,
    is_closed: bool,
}

/// What becomes of one message to the database.
enum Fate {
    Passes,
    PassesAndLosesItsAnswer,
    /// Only its first bytes pass, and the connection breaks, or the whole line.
    Breaks {
        passed: usize,
        then: Passage,
    },
}

impl Relay {
    pub fn to(cluster: &Cluster) -> Self {
        Self::to_port(cluster.port())
    }

    /// To whatever database server listens on this port.
    pub fn to_port(database: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let condition = Condition {
            passage: Passage::Open,
            database,
            delay: Duration::ZERO,
            next_break: None,
            bytes: 0,
            counted: None,
            statements: Vec::new(),
            connections: HashMap::new(),
            is_closed: false,
        };
        let line = Arc::new(Line { condition: Mutex::new(condition), changed: Condvar::new() });
        let accepting = line.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { port, line }
    }

    /// The URL of a database, by way of this line.
    pub fn url(&self, database: &str) -> String {
        let mut url = Url::parse(database).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// New connections lead there from now on, as after a failover.
    pub fn leads_to(&self, cluster: &Cluster) {
        self.line.condition().database = cluster.port();
    }

    /// Breaks all connections, and lets no new one come about.
    pub fn cut(&self) {
        self.line.set(Passage::Cut);
    }

    /// Lets everything wait, as where a network loses all packets.
    pub fn hold(&self) {
        self.line.set(Passage::Held);
    }

    /// Ends [`Relay::cut`] and [`Relay::hold`].
    pub fn restore(&self) {
        self.line.set(Passage::Open);
    }

    /// Every round trip takes this much longer.
    pub fn slow(&self, delay: Duration) {
        self.line.condition().delay = delay;
    }

    /// Breaks the one connection that arrives at this place, once.
    pub fn break_at(&self, place: Break) {
        self.line.expect(place, Passage::Open);
    }

    /// Cuts the whole line at this place, until it is restored.
    pub fn cut_at(&self, place: Break) {
        self.line.expect(place, Passage::Cut);
    }

    /// Holds the whole line before this place, until it is restored. Nothing breaks.
    pub fn hold_at(&self, place: Break) {
        self.line.expect(place, Passage::Held);
    }

    /// Only this statement counts from now on, or all do.
    pub fn counts_only(&self, statement: Option<&str>) {
        self.line.condition().counted = statement.map(str::to_owned);
    }

    /// Takes back a break that was asked for. Whether it was still to come.
    pub fn forgets_break(&self) -> bool {
        self.line.condition().next_break.take().is_some()
    }

    /// The bytes that were sent to the database since the count began.
    pub fn bytes(&self) -> u64 {
        self.line.condition().bytes
    }

    /// Whether the break that was asked for is still to come.
    pub fn awaits_break(&self) -> bool {
        self.line.condition().next_break.is_some()
    }

    /// The statements since the last [`Relay::break_at`], [`Relay::cut_at`] or [`Relay::forget_statements`].
    pub fn statements(&self) -> Vec<String> {
        self.line.condition().statements.clone()
    }

    /// Counts from here.
    pub fn forget_statements(&self) {
        self.line.condition().count_from_here();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.condition().is_closed = true;
        self.cut();
        // Wakes the thread that accepts, which then ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Condition {
    fn count_from_here(&mut self) {
        self.bytes = 0;
        self.statements.clear();
    }

    fn set(&mut self, passage: Passage) {
        self.passage = passage;
        if passage == Passage::Cut {
            self.connections.values().for_each(end);
        }
    }

    /// Counts a message to the database, and says what becomes of it.
    fn fate(&mut self, length: usize, statement: Option<String>) -> Fate {
        let before = self.bytes;
        self.bytes += length as u64;
        let counts = |statement: &String| self.counted.as_ref().is_none_or(|counted| counted == statement);
        let statement = statement.filter(counts);
        let executes = statement.is_some();
        self.statements.extend(statement);
        let Some((place, then)) = self.next_break else { return Fate::Passes };
        let is_this_one = |number| executes && number == self.statements.len();
        let passed = match place {
            Break::BeforeByte(byte) if byte <= self.bytes => byte.saturating_sub(before + 1),
            Break::BeforeStatement(number) if is_this_one(number) => 0,
            Break::AfterStatement(number) if is_this_one(number) => return Fate::PassesAndLosesItsAnswer,
            _ => return Fate::Passes,
        };
        self.next_break = None;
        Fate::Breaks { passed: usize::try_from(passed).unwrap(), then }
    }
}

impl Line {
    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap()
    }

    fn set(&self, passage: Passage) {
        self.condition().set(passage);
        self.changed.notify_all();
    }

    fn expect(&self, place: Break, then: Passage) {
        let mut condition = self.condition();
        condition.count_from_here();
        condition.next_break = Some((place, then));
    }

    /// Ends a connection by an error, and all others if the whole line is cut.
    fn broken(&self, then: Passage) -> io::Error {
        if then == Passage::Cut {
            self.set(Passage::Cut);
        }
        io::ErrorKind::ConnectionAborted.into()
    }

    /// Waits while the line is held.
    fn pass(&self) -> io::Result<()> {
        let condition = self.condition();
        let is_held = |condition: &mut Condition| condition.passage == Passage::Held;
        let condition = self.changed.wait_while(condition, is_held).unwrap();
        if condition.passage == Passage::Cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Sends a message of the program, unless the line breaks there.
    fn send(
        &self,
        message: &[u8],
        conversation: &Mutex<Conversation>,
        to_database: &mut TcpStream,
    ) -> io::Result<()> {
        let asks = messages::asks(message);
        let delay = if asks { self.condition().delay } else { Duration::ZERO };
        std::thread::sleep(delay);
        // Counts only what can be sent.
        self.pass()?;
        let mut talk = conversation.lock().unwrap();
        let statement = talk.read(message);
        let fate = self.condition().fate(message.len(), statement);
        if matches!(fate, Fate::PassesAndLosesItsAnswer) {
            talk.lose_next_answer();
        }
        if asks {
            talk.asks();
        }
        drop(talk);
        if let Fate::Breaks { then: Passage::Held, .. } = fate {
            self.set(Passage::Held);
            self.pass()?;
        } else if let Fate::Breaks { passed, then } = fate {
            to_database.write_all(&message[..passed])?;
            return Err(self.broken(then));
        }
        to_database.write_all(message)
    }
}

fn end(connection: &[TcpStream; 2]) {
    for side in connection {
        let _ = side.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, line: &Arc<Line>) {
    for (number, program) in listener.incoming().enumerate() {
        if line.condition().is_closed {
            return;
        }
        let (Ok(program), line) = (program, line.clone()) else { continue };
        std::thread::spawn(move || {
            // An error is the end of this connection, on purpose or not.
            let _ = connect(number as u64, program, &line);
            let connection = line.condition().connections.remove(&(number as u64));
            connection.iter().for_each(end);
        });
    }
}

fn connect(number: u64, mut program: TcpStream, line: &Arc<Line>) -> io::Result<()> {
    line.pass()?;
    let port = line.condition().database;
    let mut database = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    program.set_nodelay(true)?;
    database.set_nodelay(true)?;
    let both = [program.try_clone()?, database.try_clone()?];
    line.condition().connections.insert(number, both);
    // The line may have been cut in between.
    line.pass()?;

    let conversation = Arc::new(Mutex::new(Conversation::default()));
    let mut from_program = BufReader::new(program.try_clone()?);
    let mut from_database = BufReader::new(database.try_clone()?);
    loop {
        let (opening, message) = messages::read_opening(&mut from_program)?;
        line.send(&message, &conversation, &mut database)?;
        match opening {
            Opening::Start => break,
            Opening::Encryption => program.write_all(&messages::read_refusal(&mut from_database)?)?,
            // The database closes the connection when it has read this.
            Opening::Cancellation => return messages::read_end(&mut from_database),
        }
    }
    let (talk, other_line, mut to_program) = (conversation.clone(), line.clone(), program.try_clone()?);
    let answering = std::thread::spawn(move || {
        let result = answer(&mut from_database, &mut to_program, &talk, &other_line);
        // Ends the other direction too.
        let connection = other_line.condition().connections.remove(&number);
        connection.iter().for_each(end);
        result
    });
    let result = ask(&mut from_program, &mut database, &conversation, line);
    end(&[program, database]);
    let _ = answering.join();
    result
}

fn ask(
    from: &mut BufReader<TcpStream>,
    to: &mut TcpStream,
    conversation: &Mutex<Conversation>,
    line: &Line,
) -> io::Result<()> {
    loop {
        let message = messages::read(from)?;
        line.send(&message, conversation, to)?;
    }
}

fn answer(
    from: &mut BufReader<TcpStream>,
    to: &mut TcpStream,
    conversation: &Mutex<Conversation>,
    line: &Line,
) -> io::Result<()> {
    loop {
        let message = messages::read(from)?;
        let mut talk = conversation.lock().unwrap();
        let is_lost = talk.loses_this_answer();
        let is_last = messages::ends_answer(&message);
        if is_last {
            talk.is_answered();
        }
        drop(talk);
        if is_lost && is_last {
            let then = line.condition().next_break.take().map_or(Passage::Open, |(_, then)| then);
            return Err(line.broken(then));
        }
        line.pass()?;
        if !is_lost {
            to.write_all(&message)?;
        }
    }
}
