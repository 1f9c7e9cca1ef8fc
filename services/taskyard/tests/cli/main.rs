//! The program from outside: what it prints, and the code that it ends with.

mod administration;
mod devstack;
mod harness;
mod import;
mod login;
mod schedules;
mod server;
mod tasks;
mod usage;
mod watch;
mod work;
