//! Points at which a test kills or freezes this process: after every commit, publish, push and acknowledgement, and
//! between the steps of the leader. Compiled to nothing without the feature `fault-points`, which only tests set.
//!
//! `TASKYARD_FAULT_FILE` names a file. As soon as it holds `abort <point>` or `freeze <point>`, the next process that
//! reaches the point removes the file and aborts, or stops itself with SIGSTOP.

/// Where a process can be killed or frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "fault-points"), allow(dead_code, reason = "the names are for tests"))]
pub enum FaultPoint {
    /// A group of creates is committed, nobody is answered.
    CreateCommitted,
    /// What a person asked for is committed (complete, retry, update, delete, a queue's settings, a schedule), nobody is told.
    CommandCommitted,
    /// A wake was published.
    WakePublished,
    /// Free slots were published.
    DemandPublished,
    /// A term was taken, nothing is read.
    TermTaken,
    /// What runs is read and the first beacon told, nothing is started.
    TermRead,
    /// The beacon was published.
    BeaconPublished,
    /// The term was renewed.
    TermRenewed,
    /// Tasks are matched, nothing is written.
    StartMatched,
    /// A start is committed, nothing is published.
    StartCommitted,
    /// A message of started runs, or a greeting, was published.
    WorkPublished,
    /// A pod took started runs in.
    WorkTakenIn,
    /// Payloads were read.
    PayloadRead,
    /// Runs were pushed to their worker's stream.
    RunPushed,
    /// A hello has taken the session over and has not looked at its runs.
    HelloOpened,
    /// A hello is complete, the worker is not welcomed.
    HelloCommitted,
    /// The worker was welcomed, and nobody knows yet that it is here.
    WelcomePushed,
    /// Sessions were renewed.
    RenewalCommitted,
    /// A group of results is committed, nobody is told.
    FinishCommitted,
    /// Results were acknowledged to the worker.
    ResultAcknowledged,
    /// Runs went back to their queue.
    ReturnCommitted,
    /// The worker was sent to another pod.
    DrainPushed,
    /// A goodbye has closed its session.
    GoodbyeCommitted,
    /// A goodbye was answered.
    FarewellPushed,
    /// A task was canceled, nobody is told.
    CancelCommitted,
    /// The worker's pod was told to stop a run.
    StopPublished,
    /// The worker was told to stop runs.
    StopPushed,
    /// Sessions were expired, their runs are not looked at.
    ExpiryCommitted,
    /// Slow runs were failed.
    DeadlineCommitted,
    /// Due tasks were made ready.
    DueCommitted,
    /// What shall become of due schedules is decided, nothing is written.
    TickPlanned,
    /// Ticks of schedules are committed, nobody is told.
    TickCommitted,
    /// Rows that no rule allows were repaired.
    RepairCommitted,
    /// Some of what a deleted namespace had, or all of it, is gone.
    EraseCommitted,
    /// Events were read.
    EventsRead,
    /// Events were published.
    EventsPublished,
    /// The search index has taken in events or documents.
    IndexCommitted,
}

impl FaultPoint {
    /// All points.
    pub const ALL: [Self; 37] = [
        Self::CreateCommitted,
        Self::CommandCommitted,
        Self::WakePublished,
        Self::DemandPublished,
        Self::TermTaken,
        Self::TermRead,
        Self::BeaconPublished,
        Self::TermRenewed,
        Self::StartMatched,
        Self::StartCommitted,
        Self::WorkPublished,
        Self::WorkTakenIn,
        Self::PayloadRead,
        Self::RunPushed,
        Self::HelloOpened,
        Self::HelloCommitted,
        Self::WelcomePushed,
        Self::RenewalCommitted,
        Self::FinishCommitted,
        Self::ResultAcknowledged,
        Self::ReturnCommitted,
        Self::DrainPushed,
        Self::GoodbyeCommitted,
        Self::FarewellPushed,
        Self::CancelCommitted,
        Self::StopPublished,
        Self::StopPushed,
        Self::ExpiryCommitted,
        Self::DeadlineCommitted,
        Self::DueCommitted,
        Self::TickPlanned,
        Self::TickCommitted,
        Self::RepairCommitted,
        Self::EraseCommitted,
        Self::EventsRead,
        Self::EventsPublished,
        Self::IndexCommitted,
    ];

    /// The name, as it is written in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateCommitted => "create-committed",
            Self::CommandCommitted => "command-committed",
            Self::WakePublished => "wake-published",
            Self::DemandPublished => "demand-published",
            Self::TermTaken => "term-taken",
            Self::TermRead => "term-read",
            Self::BeaconPublished => "beacon-published",
            Self::TermRenewed => "term-renewed",
            Self::StartMatched => "start-matched",
            Self::StartCommitted => "start-committed",
            Self::WorkPublished => "work-published",
            Self::WorkTakenIn => "work-taken-in",
            Self::PayloadRead => "payload-read",
            Self::RunPushed => "run-pushed",
            Self::HelloOpened => "hello-opened",
            Self::HelloCommitted => "hello-committed",
            Self::WelcomePushed => "welcome-pushed",
            Self::RenewalCommitted => "renewal-committed",
            Self::FinishCommitted => "finish-committed",
            Self::ResultAcknowledged => "result-acknowledged",
            Self::ReturnCommitted => "return-committed",
            Self::DrainPushed => "drain-pushed",
            Self::GoodbyeCommitted => "goodbye-committed",
            Self::FarewellPushed => "farewell-pushed",
            Self::CancelCommitted => "cancel-committed",
            Self::StopPublished => "stop-published",
            Self::StopPushed => "stop-pushed",
            Self::ExpiryCommitted => "expiry-committed",
            Self::DeadlineCommitted => "deadline-committed",
            Self::DueCommitted => "due-committed",
            Self::TickPlanned => "tick-planned",
            Self::TickCommitted => "tick-committed",
            Self::RepairCommitted => "repair-committed",
            Self::EraseCommitted => "erase-committed",
            Self::EventsRead => "events-read",
            Self::EventsPublished => "events-published",
            Self::IndexCommitted => "index-committed",
        }
    }
}

/// This point is reached.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub const fn reach(_: FaultPoint) {}

/// This point is reached.
#[cfg(feature = "fault-points")]
pub fn reach(point: FaultPoint) {
    let Some(file) = std::env::var_os("TASKYARD_FAULT_FILE") else { return };
    let Ok(order) = std::fs::read_to_string(&file) else { return };
    let Some((action, name)) = order.trim().split_once(' ') else { return };
    // Whoever removes the file carries the order out.
    if name != point.name() || std::fs::remove_file(&file).is_err() {
        return;
    }
    eprintln!("fault point {name}: {action}");
    if action == "abort" {
        std::process::abort();
    }
    // A busy machine stops the other threads first, and this one a moment later.
    let stop = "kill -STOP $0; sleep 0.2";
    let stopped = std::process::Command::new("sh").args(["-c", stop, &std::process::id().to_string()]).status();
    eprintln!("fault point {name}: went on ({stopped:?})");
}
