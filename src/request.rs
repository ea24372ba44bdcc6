//! The id of the current request: in its answer, on its error page and in its log lines.

use std::cell::Cell;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::id::random62;

tokio::task_local! {
    static CURRENT: Id;
}

/// A thread takes this many ids at once, so that threads don't compete for each of them.
const AT_ONCE: u64 = 1024;

/// The number of a request in this process. As text it begins with random letters for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u64);

impl Id {
    /// The next id of this thread.
    pub fn next() -> Self {
        static TAKEN: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static OWN: Cell<Range<u64>> = const { Cell::new(0..0) };
        }
        let mut own = OWN.take();
        let next = own.next().unwrap_or_else(|| {
            let first = TAKEN.fetch_add(AT_ONCE, Ordering::Relaxed);
            own = first + 1..first + AT_ONCE;
            first
        });
        OWN.set(own);
        Self(next)
    }

    /// The id of the request that this task answers. Outside of a request, a new one.
    pub fn current() -> Self {
        CURRENT.try_with(|id| *id).unwrap_or_else(|_| Self::next())
    }

    /// Runs `work` as a part of this request.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        static PROCESS: OnceLock<String> = OnceLock::new();
        write!(out, "{}-{:x}", PROCESS.get_or_init(|| random62(8)), self.0)
    }
}
