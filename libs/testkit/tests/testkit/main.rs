//! The tools of the tests, put to the test.

mod process;
mod proxy;
mod sandbox;
mod servers;
