//! Kills and freezes of our own processes: nothing is lost, nothing is done twice, no attempt is spent that nobody
//! owes.
//!
//! Most tests here run `taskyard` as processes, which must be built first; `points.rs` and what freezes or kills at a
//! named point also need it, and this crate, built with the feature `fault-points`:
//!
//! ```sh
//! cargo build -p taskyard --features taskyard-tasks/fault-points
//! cargo test -p taskyard-tests --test faults --features taskyard-tests/fault-points
//! ```

mod checks;
mod deploy;
mod fleet;
#[cfg(feature = "fault-points")]
mod freezes;
#[cfg(feature = "fault-points")]
mod kills;
#[cfg(feature = "fault-points")]
mod leader;
mod points;
mod priority;
mod reports;
mod slots;
mod starts;
mod stream;
#[cfg(feature = "fault-points")]
mod ticks;
mod traffic;
mod workers;

use std::time::Duration;

/// Long enough on a busy machine; only what fails waits so long.
const SOON: Duration = Duration::from_secs(20);
