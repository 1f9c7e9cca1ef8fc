//! A process group: a command and everything that it started.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::{task::spawn_blocking, time::Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);
// A process that is killed is gone at once, unless it hangs in the kernel.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);

/// A process group. What is left of it when this is dropped is killed.
///
/// The number of a group is not given to another while a process of it is there; afterwards no signal must be sent.
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

    /// Waits until no process of it lives, or the time has come.
    pub async fn gone_by(&self, deadline: Instant) {
        let Some(group) = self.0 else { return };
        while Instant::now() < deadline && spawn_blocking(move || is_alive(group)).await.unwrap_or(false) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Ends what the leader has left behind, and takes note of that if it is ours to do: the first process of a container
    /// inherits all orphans. Only for when the leader's own end is known: it would be taken from who waits for it.
    pub async fn finish(mut self) {
        self.kill();
        // From here on the number may be another's.
        let Some(group) = self.0.take() else { return };
        let deadline = Instant::now() + REAP_TIMEOUT;
        // It fails if no child of ours is in the group, which is how it is where we are not the first process.
        while let Ok(reaped) = waitpgid(group, WaitOptions::NOHANG) {
            if reaped.is_none() {
                if Instant::now() >= deadline {
                    return;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It fails if nobody is there any more, which is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

/// Whether a process of the group lives. One that has ended stays in the group until its parent has asked for it, which
/// an orphan's may do late or never; such are not alive.
fn is_alive(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    // Where there is no such folder, what is there counts as alive.
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes.flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name, which can hold anything: state, parent, group.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, of_group) = (fields.next(), fields.nth(1).and_then(|field| field.parse().ok()));
        of_group == Some(group.as_raw_nonzero().get()) && !matches!(state, Some("Z" | "X"))
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::{io::Read, os::unix::process::CommandExt};

    use super::*;

    #[tokio::test]
    async fn who_has_ended_does_not_live_even_if_nobody_has_asked() {
        // A leader, and a process of its group that ends; the leader never asks for it.
        let mut leader = Command::new("sh")
            .args(["-c", "sleep 0.1 & echo started; exec sleep 300"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let group = Group::of(Some(leader.id()));
        leader.stdout.take().unwrap().read_exact(&mut [0; 8]).unwrap();
        let pid = group.0.unwrap();
        assert!(is_alive(pid));
        // Nobody has asked for the leader, either.
        group.kill();
        let began = Instant::now();
        group.gone_by(began + Duration::from_secs(5)).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(!is_alive(pid) && test_kill_process_group(pid).is_ok(), "it is there, and does not live");
        group.finish().await;
        assert!(leader.wait().is_err(), "somebody has asked");
    }

    #[tokio::test]
    async fn a_group_without_processes_is_gone() {
        let group = Group::of(None);
        group.terminate();
        group.gone_by(Instant::now() + Duration::from_secs(5)).await;
        group.finish().await;
    }
}
