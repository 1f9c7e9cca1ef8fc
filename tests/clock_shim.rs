//! Turns the clock of a process: `CLOCK_OFFSET_FILE` names a file of eight bytes, the seconds to be added to the real
//! time, in the machine's byte order. Whoever writes another number turns the clock at once, in all processes.
//!
//! The file is mapped once, when the library is loaded, so that a call costs no more than before and is safe in a
//! signal handler.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: c_long,
}

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(address: *mut c_void, length: usize, access: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const REALTIME: c_int = 0;
const REALTIME_COARSE: c_int = 5;
const NEXT_LIBRARY: *mut c_void = -1_isize as *mut c_void;

static OFFSET: AtomicPtr<AtomicI64> = AtomicPtr::new(ptr::null_mut());
static CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

extern "C" fn load() {
    unsafe {
        CLOCK_GETTIME.store(dlsym(NEXT_LIBRARY, c"clock_gettime".as_ptr()), Ordering::Relaxed);
        let path = getenv(c"CLOCK_OFFSET_FILE".as_ptr());
        if path.is_null() {
            return;
        }
        // Readable, shared; the descriptor stays.
        let file = open(path, 0);
        let mapped = mmap(ptr::null_mut(), 8, 1, 1, file, 0);
        if file >= 0 && mapped as isize != -1 {
            OFFSET.store(mapped.cast(), Ordering::Relaxed);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    unsafe {
        let real = CLOCK_GETTIME.load(Ordering::Relaxed);
        if real.is_null() {
            return -1;
        }
        let real: extern "C" fn(c_int, *mut Timespec) -> c_int = std::mem::transmute(real);
        let answer = real(clock, time);
        let offset = OFFSET.load(Ordering::Relaxed);
        if answer == 0 && !offset.is_null() && matches!(clock, REALTIME | REALTIME_COARSE) {
            (*time).seconds += (*offset).load(Ordering::Relaxed);
        }
        answer
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut Timeval, _zone: *mut c_void) -> c_int {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe {
        let answer = clock_gettime(REALTIME, &mut now);
        (*time).seconds = now.seconds;
        (*time).microseconds = now.nanoseconds / 1_000;
        answer
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(time: *mut i64) -> i64 {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe {
        clock_gettime(REALTIME, &mut now);
        if !time.is_null() {
            *time = now.seconds;
        }
    }
    now.seconds
}
