//! What every service needs around its own work: configuration, telemetry, metrics, health, servers, errors as
//! answers, a clean stop.
//!
//! Never in here: anything that knows a task, a table or a subject. Nothing in here is global but the log; each handle
//! is passed in, so that every service can be started twice in one process.

pub mod config;
pub mod grpc;
pub mod health;
pub mod http_error;
pub mod http_server;
pub mod identity;
pub mod metrics;
pub mod ops;
pub mod shutdown;
pub mod supervise;
pub mod telemetry;
pub mod tls;
