//! NATS: names, connection, what our processes say to each other (core NATS), started runs and relayed events
//! (JetStream).
//!
//! Nothing is kept only here: all of JetStream can be wiped at any moment, and every message can be lost, doubled or
//! late. Never in here: what a message means.

mod connection;
mod events;
mod names;
mod work;

pub use connection::{Bus, BusOptions};
pub use events::{EventLog, LastBatch, PublishedEvents};
pub use names::Names;
pub use work::WorkMessages;
