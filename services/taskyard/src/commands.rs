//! The commands, each in a file of its name.

pub mod admin;
pub mod completions;
pub mod devstack;
pub mod health;
pub mod key;
mod listen;
pub mod login;
pub mod migrate;
pub mod namespace;
pub mod openapi;
pub mod queue;
pub mod role;
pub mod schedule;
pub mod task;
pub mod token;
pub mod up;
pub mod work;

use crate::{
    cli::{Cli, Command},
    exit::Outcome,
    runtime,
};

/// Runs a command to its end.
pub fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Up(args) => runtime::large(up::run(*args)),
        Command::Task(args) => runtime::small(task::run(*args)),
        Command::Queue(args) => runtime::small(queue::run(args)),
        Command::Key(args) => runtime::small(key::run(args)),
        Command::Namespace(args) => runtime::small(namespace::run(args)),
        Command::Login(args) => runtime::small(login::login(args)),
        Command::Logout(args) => runtime::small(login::logout(args)),
        Command::Token(args) => runtime::small(token::run(args)),
        Command::Whoami(args) => runtime::small(login::who_am_i(args)),
        Command::Schedule(args) => runtime::small(schedule::run(*args)),
        Command::Work(args) => runtime::large(work::run(*args)),
        Command::Gateway(args) => runtime::large(role::gateway::run(*args)),
        Command::Tasks(args) => runtime::large(role::tasks::run(*args)),
        Command::Worker(args) => runtime::large(role::worker::run(*args)),
        Command::Operator(args) => runtime::large(role::operator::run(*args)),
        Command::Migrate(args) => runtime::small(migrate::run(args)),
        Command::Health(args) => runtime::small(health::run(args)),
        Command::Admin(args) => runtime::small(admin::run(*args)),
        Command::Devstack(args) => runtime::small(devstack::run(args)),
        Command::Bench(options) => runtime::large(taskyard_bench::run(options)),
        Command::Openapi => openapi::run(),
        Command::Completions(args) => completions::run(args),
    }
}
