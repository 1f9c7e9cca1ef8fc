//! Processor time of processes, from `/proc` (Linux; zero elsewhere).

use std::{collections::HashMap, fmt, fs, time::Duration};

/// Ticks a second of the times in `/proc`: fixed in the kernel's interface.
const TICKS: u64 = 100;

/// What a task costs, by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub postgres_us: f64,
    pub nats_us: f64,
    pub pods_us: f64,
    pub workers_us: f64,
    pub driver_us: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "µs a task: Postgres {:.0}, NATS {:.0}, tasks {:.0}, workers {:.0}, callers {:.0}",
            self.postgres_us, self.nats_us, self.pods_us, self.workers_us, self.driver_us
        )
    }
}

/// Processor time of one process so far, its reaped children included.
pub fn cpu_of(pid: u32) -> Duration {
    stat(pid).map(|stat| stat.cpu).unwrap_or_default()
}

/// The same with all its descendants.
pub fn cpu_of_tree(pid: u32) -> Duration {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut times = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
            times.insert(pid, stat.cpu);
        }
    }
    let mut sum = Duration::ZERO;
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        sum += times.get(&pid).copied().unwrap_or_default();
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    sum
}

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1_024
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu: Duration::from_millis(ticks * 1_000 / TICKS) })
}

/// Time a task.
pub fn per_task(time: Duration, tasks: usize) -> f64 {
    time.as_secs_f64() * 1e6 / tasks as f64
}
