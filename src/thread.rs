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

/// Something for each thread of its own; or shared by several, if there are fewer.
#[derive(Debug)]
pub struct Each<T>(Box<[Apart<T>]>);

/// Nothing else is in the same cache line, nor in the one that processors fetch with it.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Each<T> {
    /// As many as there are threads.
    pub fn new(mut make: impl FnMut() -> T) -> Self {
        Self((0..count().get()).map(|_| Apart(make())).collect())
    }

    /// So many.
    ///
    /// # Errors
    /// Of the first that could not be made.
    pub fn several<E>(many: NonZeroUsize, mut make: impl FnMut() -> Result<T, E>) -> Result<Self, E> {
        (0..many.get()).map(|_| make().map(Apart)).collect::<Result<_, E>>().map(Self)
    }

    /// This thread's.
    pub fn own(&self) -> &T {
        &self.0[number() % self.0.len()].0
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

impl<T: Default> Default for Each<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// From now on this thread has this number.
pub fn set_number(number: usize) {
    NUMBER.set(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_and_shares_it_where_there_are_fewer() {
        let mut made = 0..;
        let each = Each::several(NonZeroUsize::new(3).unwrap(), || made.next().ok_or(())).unwrap();
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
