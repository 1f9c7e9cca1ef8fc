//! The tasks service as its callers see it: real gRPC, a pod in this process, real servers.

mod commands;
mod create;
mod doors;
mod events;
mod expect;
mod queues;
mod retries;
mod sweeps;
mod watch;
mod work;
