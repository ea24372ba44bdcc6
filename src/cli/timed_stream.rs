//! The socket of one connection, as hyper reads and writes it.
//!
//! hyper closes an idle connection at once when the server stops, and drops what has arrived there unread. It also has
//! one limit for a request that is slow and a connection that is idle. So both are decided here, where bytes arrive.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// How long a connection may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the first byte of a request.
    pub idle: Duration,
    /// For the rest of its head; an answer may also lie untaken that long.
    pub patience: Duration,
}

impl Limits {
    pub const fn idle(idle: Duration) -> Self {
        Self { idle, patience: PATIENCE }
    }
}

/// How long the head of a request may take, and how long an answer may lie untaken. Without a limit, silent connections
/// would use up all descriptors.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a closed connection is still read. Bytes that nobody reads make the kernel reset the connection, and the last
/// answer may then be lost (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// No byte of the next request has arrived.
const WAITING: u8 = 0;
/// Part of a request's head has arrived.
const HEAD: u8 = 1;
/// The request is being answered.
const ANSWERING: u8 = 2;
/// The answer is complete, but maybe not sent.
const ANSWERED: u8 = 3;

/// Where a connection is between two requests.
#[derive(Clone, Default)]
pub struct Phase(Arc<AtomicU8>);

impl Phase {
    /// The head of a request is complete.
    pub fn start_answer(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// `body`, noting when it was sent.
    pub fn track(&self, body: Body) -> TrackedBody {
        TrackedBody { body, phase: self.clone() }
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn step(&self, from: u8, to: u8) {
        // Only the task of the connection changes it.
        if self.get() == from {
            self.0.store(to, Ordering::Relaxed);
        }
    }
}

/// The body of an answer; its phase ends with it.
pub struct TrackedBody {
    body: Body,
    phase: Phase,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.phase.step(ANSWERING, ANSWERED);
    }
}

pub struct TimedStream {
    stream: TcpStream,
    phase: Phase,
    limits: Limits,
    /// Changes once the server stops.
    stopping: watch::Receiver<()>,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// It was idle: nothing can be lost.
    AtOnce,
    Lingering,
}

impl TimedStream {
    pub fn new(stream: TcpStream, phase: Phase, limits: Limits, stopping: watch::Receiver<()>) -> Self {
        let deadline = Instant::now() + limits.idle;
        let timer = Box::pin(tokio::time::sleep_until(deadline));
        Self { stream, phase, limits, stopping, deadline, timer, closing: Closing::No }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.has_changed().unwrap_or(true)
    }

    fn set_deadline(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
        // A timer that fires too early is set again, so that most requests need not set it.
        if self.deadline < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadline);
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            let deadline = self.deadline;
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Whether the kernel holds bytes that have not been read. The runtime may not have heard of them.
    fn has_unread_bytes(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(&self.stream).peek(&mut byte).is_ok_and(|length| length > 0)
    }

    /// What hyper gets to read when nothing is there: nothing yet, the end, or an error.
    fn poll_when_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.phase.get() {
            WAITING => {
                let is_over = self.is_stopping() && !self.has_unread_bytes();
                if !is_over {
                    ready!(self.poll_deadline(context));
                }
                self.closing = Closing::AtOnce;
                Poll::Ready(Ok(()))
            }
            HEAD => {
                ready!(self.poll_deadline(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            _ => Poll::Pending,
        }
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && Instant::now() < self.deadline => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.poll_deadline(context),
            }
        }
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if Pin::new(&mut this.stream).poll_read(context, buffer)?.is_pending() {
            return this.poll_when_empty(context);
        }
        if buffer.filled().len() > before && this.phase.get() == WAITING {
            this.phase.step(WAITING, HEAD);
            this.set_deadline(this.limits.patience);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase.get() == ANSWERED {
            self.phase.step(ANSWERED, WAITING);
            let idle = self.limits.idle;
            self.set_deadline(idle);
            // hyper may have tried to read before, and reads again only when something wakes it. The server may have been
            // told to stop while the answer went out.
            if self.is_stopping() || self.poll_deadline(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing == Closing::No {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.closing = Closing::Lingering;
            self.set_deadline(LINGER);
        }
        if self.closing == Closing::Lingering {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
