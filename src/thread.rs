//! The threads that answer requests, by number. Each thread has its own copy of what it uses most, because memory that
//! several processors write moves back and forth between them, which is slow.

use std::cell::Cell;
use std::num::NonZeroUsize;

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of threads that answer requests: one for each processor.
pub fn count() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The number of this thread. Threads that answer no requests have 0.
pub fn number() -> usize {
    NUMBER.get().unwrap_or(0)
}

/// Whether this thread answers requests.
pub fn answers_requests() -> bool {
    NUMBER.get().is_some()
}

/// A value for each thread. If there are fewer values than threads, several threads share one.
#[derive(Debug)]
pub struct PerThread<T>(Box<[Padded<T>]>);

/// A value with nothing else in its cache line, nor in the next one, which processors fetch with it.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> PerThread<T> {
    /// One value for each thread.
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..count().get()).map(|_| Padded(make())).collect())
    }

    /// This many values.
    ///
    /// # Errors
    /// The error of the first value that could not be made.
    pub fn several<E>(many: NonZeroUsize, mut make: impl FnMut() -> Result<T, E>) -> Result<Self, E> {
        (0..many.get()).map(|_| make().map(Padded)).collect::<Result<_, E>>().map(Self)
    }

    /// The value of this thread.
    pub fn own(&self) -> &T {
        &self.0[number() % self.0.len()].0
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

impl<T: Default> Default for PerThread<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// Gives a number to this thread, which answers requests.
pub fn set_number(number: usize) {
    NUMBER.set(Some(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_value_or_shares_one_if_there_are_fewer() {
        let mut made = 0..;
        let each = PerThread::several(NonZeroUsize::new(3).unwrap(), || made.next().ok_or(())).unwrap();
        assert_eq!(each.own(), &0);
        for (number, own) in [(1, 1), (2, 2), (3, 0), (5, 2)] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    set_number(number);
                    assert_eq!(each.own(), &own);
                });
            });
        }
        assert_eq!(each.iter().copied().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
