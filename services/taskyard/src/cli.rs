//! The commands and their flags.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    admin, completions, devstack, health, key, login, migrate, namespace, queue, role, schedule, task, token, up, work,
};

/// Taskyard, a task platform: hand in work, it runs at its time on whichever worker is free, and is never lost.
#[derive(Debug, Parser)]
#[command(name = "taskyard", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, with private servers
    Up(Box<up::Args>),
    /// Create, show, watch and steer tasks
    Task(Box<task::Args>),
    /// Show and steer queues
    Queue(queue::Args),
    /// Make, list and end the keys of programs and workers
    Key(key::Args),
    /// Share work: make namespaces, invite people, give them roles
    Namespace(namespace::Args),
    /// Sign in at a server and remember it
    Login(login::LoginArgs),
    /// End a sign-in and forget it
    Logout(login::LogoutArgs),
    /// Print the token or key that commands show, for `curl` and the like
    Token(token::Args),
    /// Say who one is at a server
    Whoami(login::WhoAmIArgs),
    /// Make tasks again and again: create, show and steer schedules
    Schedule(Box<schedule::Args>),
    /// Make any program a worker: it is run for each task
    Work(Box<work::Args>),
    /// Run the gateway: REST and gRPC for everybody
    Gateway(Box<role::gateway::Args>),
    /// Run a pod of the tasks service
    Tasks(Box<role::tasks::Args>),
    /// Run a worker for the built-in kinds of task: http, noop, sleep
    Worker(Box<role::worker::Args>),
    /// Tell Kubernetes' autoscaler how much work waits
    Operator(Box<role::operator::Args>),
    /// Bring the database's schema up to date
    Migrate(migrate::Args),
    /// Ask a running role whether it is ready; exits with 0 or 1
    Health(health::Args),
    /// Tools for those who run an installation
    Admin(Box<admin::Args>),
    /// Run only the private servers, or a command with them
    Devstack(devstack::Args),
    /// Measure all of it on this machine, against a baseline in the same run
    Bench(taskyard_bench::Options),
    /// Print the description of the REST API, OpenAPI 3.1
    Openapi,
    /// Print what makes a shell complete these commands
    Completions(completions::Args),
}

/// Reads the command line; help and mistakes end the process.
pub fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command()).exit())
}

/// The commands as clap knows them.
pub fn command() -> clap::Command {
    // Who runs everything at a desk waits for Ctrl-C, and wants to hear of trouble only.
    Cli::command().mut_subcommand("up", |up| {
        up.mut_arg("grace_period_s", |grace| grace.default_value("4")).mut_arg("log", |log| log.default_value("warn"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn flags_of_the_server_can_stand_anywhere() {
        for line in [
            "taskyard task --url http://a:1 --json list --all",
            "taskyard task list --url http://a:1 --all --json",
            "taskyard task retry --all-dead --queue q",
            "taskyard task cancel --all-active --state ready --state open --queue q --reason r",
            "taskyard task complete --all-open --queue q --result 1",
            "taskyard task create --kind k --label a=b --label c=d --payload {} --delay 10m",
            "taskyard queue limit mail --concurrency 3 --token 0123456789abcdef",
            "taskyard schedule create s --cron @daily --time-zone Europe/Berlin --kind k",
            "taskyard schedule update s --catch-up all --catch-up-max 3 --version 2",
            "taskyard schedule next s --count 9",
            "taskyard schedule next --every 15m --json",
            "taskyard devstack -- cargo test --workspace",
            "taskyard work --queue q --kind k --concurrency 8 -- python3 -c x",
            "taskyard up --listen 127.0.0.1:0",
            "taskyard login --url http://a:1 --email a@b.example --password-file - --profile p",
            "taskyard key create ci --scope tasks:write --scope work --queue mail",
            "taskyard key list --profile p",
            "taskyard namespace invite team eve@example.com --role editor",
            "taskyard namespace delete team --confirm team --no-wait",
            "taskyard whoami --json",
            "taskyard admin list-users --email eve@example.com --json",
            "taskyard admin limit-namespace team --active-tasks 1000 --queues default --url http://a:1",
            "taskyard admin audit --limit 3 --profile root",
            "taskyard admin audit --all --json",
        ] {
            if let Err(error) = command().try_get_matches_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
        for line in [
            "taskyard",
            "taskyard task create",
            "taskyard task create --kind k --delay 10",
            "taskyard task create --kind k --delay 1s --due 2026-01-01T00:00:00Z",
            "taskyard task list --all --limit 3",
            "taskyard task list --state done",
            "taskyard task retry",
            "taskyard task retry x --all-dead",
            "taskyard task retry x --queue q",
            "taskyard task cancel",
            "taskyard task cancel x --all-active",
            "taskyard task cancel x --state ready",
            "taskyard task cancel --all-active --state dead",
            "taskyard task complete",
            "taskyard task complete x --queue q",
            "taskyard queue limit mail",
            "taskyard schedule create --cron @daily",
            "taskyard schedule create s --cron @daily --every 15m",
            "taskyard schedule create s --every 15m --at 2026-01-01T00:00:00Z",
            "taskyard schedule create s --catch-up most",
            "taskyard schedule next s --after 2026-01-01T00:00:00Z",
            "taskyard admin disable-user",
            "taskyard admin limit-namespace team --queues many",
            "taskyard admin audit --all --limit 3",
            "taskyard admin rebuild --url http://a:1",
        ] {
            assert!(command().try_get_matches_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
