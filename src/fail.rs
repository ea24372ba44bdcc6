//! Fail points: labelled places where a test can end the process, as a crash would.
//!
//! They exist only in builds with the feature `fail-points`. In other builds a point does nothing.

#[cfg(not(feature = "fail-points"))]
pub const fn point(_label: &str) {}

/// Ends this process by SIGKILL if the content of the file that `RESCIND_FAIL_POINT` names is `label`, or `label:n` and
/// the point is passed for the n-th time.
///
/// It is a file so that a running server can be armed for the one request that is to fail.
#[cfg(feature = "fail-points")]
pub fn point(label: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let Some(armed) = std::env::var_os("RESCIND_FAIL_POINT") else { return };
    let Ok(armed) = std::fs::read_to_string(armed) else { return };
    let (armed, nth) = match armed.split_once(':') {
        Some((armed, nth)) => (armed, nth.parse().unwrap_or(1)),
        None => (armed.as_str(), 1),
    };
    if armed == label && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        // After an error the process stays alive, and the test that armed it fails.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
