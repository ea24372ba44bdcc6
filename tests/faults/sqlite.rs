//! Two hooks into SQLite: a look at every statement of every connection, and a file system (VFS) of our own in front of
//! the real one. Both can fail the n-th time that something is asked of them.
//!
//! # Safety
//! All `unsafe` of the tests is here. Handles of our VFS begin with [`Handle`], and SQLite gives each as many bytes as
//! [`install`] asked for: ours, and behind them those of the real VFS, whose file starts on the same alignment because
//! the size of `Handle` is a multiple of 8. Methods pass their arguments on as they came. What outlives a call (the
//! tables of methods, the VFS, the paths) is leaked on purpose.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Once, OnceLock};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::disk;

/// What shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A statement, as it begins.
    Statement,
    /// A read, write, truncation, sync or lock of a file.
    Disk,
}

/// How many more times until it fails; 0 once it has, below 0 while nothing shall fail.
static STATEMENTS: AtomicI64 = AtomicI64::new(-1);
static OPERATIONS: AtomicI64 = AtomicI64::new(-1);

impl Fault {
    fn counter(self) -> &'static AtomicI64 {
        match self {
            Self::Statement => &STATEMENTS,
            Self::Disk => &OPERATIONS,
        }
    }

    /// The n-th from now on fails, and no other.
    pub fn arm(self, nth: i64) {
        self.counter().store(nth, Ordering::SeqCst);
    }

    /// Nothing fails any more; whether something has.
    pub fn disarm(self) -> bool {
        self.counter().swap(-1, Ordering::SeqCst) == 0
    }

    fn strikes(self) -> bool {
        let one_less = |left| (left > 0).then(|| left - 1);
        self.counter().fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(1)
    }
}

/// Puts the hooks in place, before the first connection, and keeps other tests away while the guard lives.
pub async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    static ONCE: Once = Once::new();
    ONCE.call_once(install);
    ALONE.lock().await
}

fn install() {
    // SAFETY: see the head of this file.
    unsafe {
        assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
        let real = ffi::sqlite3_vfs_find(std::ptr::null());
        let mut ours = *real;
        ours.szOsFile += c_int::try_from(size_of::<Handle>()).unwrap();
        ours.zName = c"rescind-tests".as_ptr();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        let ours: &'static mut sqlite3_vfs = Box::leak(Box::new(ours));
        REAL.set(Real(real)).unwrap();
        assert_eq!(ffi::sqlite3_vfs_register(ours, 1), ffi::SQLITE_OK);
        assert_eq!(ffi::sqlite3_auto_extension(Some(watch)), ffi::SQLITE_OK);
    }
}

// Statements

unsafe extern "C" fn watch(
    connection: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    unsafe { ffi::sqlite3_trace_v2(connection, ffi::SQLITE_TRACE_STMT, Some(begins), connection.cast()) }
}

/// An interrupt fails the statement before its first row, and with a writing one the whole transaction, as an I/O
/// error would.
unsafe extern "C" fn begins(_: c_uint, connection: *mut c_void, _: *mut c_void, _: *mut c_void) -> c_int {
    if Fault::Statement.strikes() {
        unsafe { ffi::sqlite3_interrupt(connection.cast()) };
    }
    0
}

// Files

#[derive(Debug)]
struct Real(*mut sqlite3_vfs);
// SAFETY: the real VFS is a static of SQLite's, which any thread may use.
unsafe impl Send for Real {}
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// What stands before the real VFS's file.
#[repr(C)]
struct Handle {
    methods: *const sqlite3_io_methods,
    /// The file's path, or null for one that has no name.
    path: *const String,
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let real = REAL.get().unwrap().0;
        let handle = file.cast::<Handle>();
        (*handle).methods = std::ptr::null();
        (*handle).path = std::ptr::null();
        let opened = (*real).xOpen.unwrap()(real, name, inner(file), flags, out);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        if !name.is_null() {
            let path = CStr::from_ptr(name).to_str().unwrap().to_owned();
            disk::opened(&path);
            (*handle).path = Box::leak(Box::new(path));
        }
        (*handle).methods = &raw const METHODS;
        opened
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    unsafe {
        let real = REAL.get().unwrap().0;
        let deleted = (*real).xDelete.unwrap()(real, name, sync);
        disk::deleted(CStr::from_ptr(name).to_str().unwrap());
        deleted
    }
}

unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    unsafe { file.cast::<Handle>().add(1).cast() }
}

unsafe fn path<'a>(file: *mut sqlite3_file) -> Option<&'a str> {
    unsafe { (*file.cast::<Handle>()).path.as_ref() }.map(String::as_str)
}

/// Methods that only pass their arguments on, or fail beforehand with `$code` if the fault strikes.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) $(or $code:expr)?;)+) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            $(if Fault::Disk.strikes() {
                return $code;
            })?
            unsafe {
                let inner = inner(file);
                (*(*inner).pMethods).$method.unwrap()(inner $(, $argument)*)
            }
        }
    )+};
}

passed_on! {
    close = xClose();
    read = xRead(into: *mut c_void, amount: c_int, at: i64) or ffi::SQLITE_IOERR_READ;
    file_size = xFileSize(size: *mut i64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    check_reserved_lock = xCheckReservedLock(out: *mut c_int);
    file_control = xFileControl(operation: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    device_characteristics = xDeviceCharacteristics();
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) or ffi::SQLITE_IOERR_SHMMAP;
    real_shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int);
    real_write = xWrite(from: *const c_void, amount: c_int, at: i64);
    real_truncate = xTruncate(size: i64);
    shm_unmap = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    unsafe {
        let inner = inner(file);
        (*(*inner).pMethods).xShmBarrier.unwrap()(inner);
    }
}

/// Taking a lock may fail; letting go of one does not.
unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    if flags & ffi::SQLITE_SHM_LOCK != 0 && Fault::Disk.strikes() {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    unsafe { real_shm_lock(file, offset, n, flags) }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, amount: c_int, at: i64) -> c_int {
    if Fault::Disk.strikes() {
        return ffi::SQLITE_IOERR_WRITE;
    }
    unsafe {
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(amount).unwrap());
        disk::changes(path(file), || disk::Change::write(at, bytes), || real_write(file, from, amount, at))
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    if Fault::Disk.strikes() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    unsafe { disk::changes(path(file), || disk::Change::truncation(size), || real_truncate(file, size)) }
}

/// What the modelled disk holds from here on; the real one need not be asked.
unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    if Fault::Disk.strikes() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    disk::synced(unsafe { path(file) });
    ffi::SQLITE_OK
}

/// No memory mapping of the file itself: every byte comes through `write`.
unsafe extern "C" fn fetch(_: *mut sqlite3_file, _: i64, _: c_int, out: *mut *mut c_void) -> c_int {
    unsafe { *out = null_mut() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn unfetch(_: *mut sqlite3_file, _: i64, _: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
