//! The threads that answer requests, numbered: what each uses most it keeps apart, since processors pull memory that
//! several of them write to and fro.

use std::cell::Cell;
use std::num::NonZeroUsize;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// How many threads answer requests: one for each processor.
pub fn count() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The number of this thread; all that answer no requests are 0.
pub fn number() -> usize {
    NUMBER.get()
}

/// From now on this thread has this number.
pub fn set_number(number: usize) {
    NUMBER.set(number);
}
