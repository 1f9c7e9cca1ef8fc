//! Signals to other processes, and facts about them, on Linux and macOS alike.

use std::io;
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process};
use tokio::time::Instant;

#[cfg(target_os = "linux")]
mod proc_fs;
#[cfg(any(test, not(target_os = "linux")))]
mod ps;

#[cfg(target_os = "linux")]
use proc_fs as facts;
#[cfg(not(target_os = "linux"))]
use ps as facts;

/// How often a process that should end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Sends a signal to the process `pid`.
///
/// # Errors
/// When it does not exist (`ESRCH`) or is another user's (`EPERM`).
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(known(pid)?, signal)?)
}

/// Sends a signal to every process of the process group `group`.
///
/// # Errors
/// When it does not exist (`ESRCH`) or is another user's (`EPERM`).
pub fn send_to_group(group: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process_group(known(group)?, signal)?)
}

/// Whether the process `pid` runs or is stopped. One that has ended and only waits to be collected (a zombie) does not.
pub fn is_alive(pid: u32) -> bool {
    let exists = known(pid).is_ok_and(|pid| match test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    });
    exists && !facts::state(pid).is_some_and(|state| matches!(state, 'Z' | 'X'))
}

/// Whether the process `pid` is stopped by SIGSTOP.
pub fn is_stopped(pid: u32) -> bool {
    facts::state(pid) == Some('T')
}

/// The processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    facts::children(pid)
}

/// The command line of the process `pid`, its arguments separated by spaces.
pub fn command_line(pid: u32) -> Option<String> {
    facts::command_line(pid)
}

/// Waits until none of `pids` is alive; false when that takes longer than `within`.
pub async fn wait_until_gone(pids: &[u32], within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while pids.iter().any(|pid| is_alive(*pid)) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

fn known(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::from_raw_os_error(3))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Both sources of facts must tell the same, or macOS would differ from Linux.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn proc_and_ps_agree_about_a_child_that_runs_stops_and_ends() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        let own = std::process::id();

        // The child may still be on its way from fork to exec.
        while !proc_fs::command_line(pid).is_some_and(|line| line.starts_with("sleep")) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        assert_eq!(proc_fs::command_line(pid).unwrap().trim(), "sleep 60");
        assert_eq!(ps::command_line(pid).unwrap().trim(), "sleep 60");
        assert!(proc_fs::children(own).contains(&pid));
        assert!(ps::children(own).contains(&pid));
        assert!(is_alive(pid) && !is_stopped(pid));

        send(pid, Signal::STOP).unwrap();
        while !is_stopped(pid) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        assert_eq!(ps::state(pid), Some('T'));
        assert!(is_alive(pid));

        send(pid, Signal::KILL).unwrap();
        assert!(wait_until_gone(&[pid], Duration::from_secs(5)).await, "a zombie counts as gone");
        assert_eq!(ps::state(pid), Some('Z'));
        child.wait().unwrap();
        assert_eq!(proc_fs::state(pid), None);
        assert_eq!(ps::state(pid), None);
        assert!(!is_alive(pid));
    }
}
