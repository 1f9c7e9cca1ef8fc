//! A process group: a command and everything that it started.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::time::Instant;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process group. What is left of it when this is dropped is killed.
///
/// The number of a group is not given to another while a process of it lives; when none does, the signals below reach
/// nobody. (Between the two, a new group would have to get the very number within microseconds.)
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group of the process that leads it.
    pub fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    /// Asks all to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends all.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Whether a process of it lives.
    pub fn is_alive(&self) -> bool {
        self.0.is_some_and(|pid| test_kill_process_group(pid).is_ok())
    }

    /// Waits until no process of it lives, or the time has come.
    pub async fn gone_by(&self, deadline: Instant) {
        while self.is_alive() && Instant::now() < deadline {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It fails if nobody is there any more, which is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
