//! What every request passes before anything reads it, in this order: it gets its id, is observed, is shared with pages
//! of other origins if it may be, its panics are caught, its size, host and origin are checked, its token is checked, and it is counted.

mod address;
mod guard;
mod name;
mod observe;
mod origin;
mod panic;
mod refuse;
mod share;
mod size;

pub(crate) use address::client_address;
pub(crate) use guard::{guard, guard_open, identify};
pub(crate) use name::{RequestId, name_request};
pub(crate) use observe::{Requests, observe};
pub(crate) use origin::check_origin;
pub(crate) use panic::catch_panic;
pub(crate) use refuse::{is_grpc, refuse};
pub(crate) use share::share;
pub(crate) use size::{HEADER_BYTES_MAX, check_size};
