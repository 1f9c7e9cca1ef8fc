//! Schedules: each tick makes one task, at its time, by the database's clock, whatever happens meanwhile.
//!
//! What happens when a leader dies or stands still at a tick is told in `faults`.

mod clock;
mod life;
mod missed;
mod mistakes;
mod overlap;
mod quota;
mod rig;
