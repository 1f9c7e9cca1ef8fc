//! The tasks service as its callers see it: real gRPC, a pod in this process, real servers.

mod commands;
mod create;
mod doors;
mod events;
mod queues;
mod retries;
mod setup;
mod watch;
mod work;
