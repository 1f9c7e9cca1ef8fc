//! Facts from `ps`: macOS and the BSDs.

use std::process::Command;

/// The state letter, as `ps` shows it.
pub(super) fn state(pid: u32) -> Option<char> {
    ps(&["-o", "stat=", "-p", &pid.to_string()])?.trim().chars().next()
}

pub(super) fn children(pid: u32) -> Vec<u32> {
    let all = ps(&["-A", "-o", "ppid=", "-o", "pid="]).unwrap_or_default();
    all.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let parent: u32 = fields.next()?.parse().ok()?;
            let child = fields.next()?.parse().ok()?;
            (parent == pid).then_some(child)
        })
        .collect()
}

pub(super) fn command_line(pid: u32) -> Option<String> {
    ps(&["-ww", "-o", "command=", "-p", &pid.to_string()]).filter(|line| !line.trim().is_empty())
}

fn ps(arguments: &[&str]) -> Option<String> {
    let output = Command::new("ps").args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
