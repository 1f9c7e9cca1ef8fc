//! The named points are where they belong, and no deed is without one. Read from the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use taskyard_tasks::fault::FaultPoint;

/// Where points stand: file, function, the points and how often each.
type Reaching = (&'static str, &'static str, &'static [(&'static str, usize)]);

const PLACES: &[Reaching] = &[
    ("app.rs", "tell_stops", &[("StopPublished", 1)]),
    ("app/administration.rs", "note", &[("CommandCommitted", 1)]),
    ("app/administration.rs", "set_quota", &[("CommandCommitted", 1)]),
    ("app/administration.rs", "set_user_admin", &[("CommandCommitted", 1)]),
    ("app/administration.rs", "set_user_disabled", &[("CommandCommitted", 1)]),
    ("app/commands.rs", "cancel", &[("CancelCommitted", 1)]),
    ("app/commands.rs", "complete", &[("CommandCommitted", 1)]),
    ("app/commands.rs", "delete", &[("CommandCommitted", 1)]),
    ("app/commands.rs", "retry", &[("CommandCommitted", 1)]),
    ("app/commands.rs", "update", &[("CommandCommitted", 2)]),
    ("app/indexing.rs", "begin_at", &[("IndexCommitted", 1)]),
    ("app/indexing.rs", "park", &[("IndexCommitted", 1)]),
    ("app/indexing.rs", "write", &[("IndexCommitted", 1)]),
    ("app/sweeps.rs", "cancel_chunk", &[("CancelCommitted", 1)]),
    ("app/sweeps.rs", "complete_chunk", &[("CommandCommitted", 1)]),
    ("app/sweeps.rs", "retry_chunk", &[("CommandCommitted", 1)]),
    ("app/creates.rs", "apply", &[("CreateCommitted", 1)]),
    ("app/finishes.rs", "apply", &[("FinishCommitted", 1)]),
    ("app/keys.rs", "make_key", &[("CommandCommitted", 1)]),
    ("app/keys.rs", "revoke_key", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "accept_invitation", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "create_namespace", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "delete_invitation", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "delete_namespace", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "invite", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "remove_member", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "set_role", &[("CommandCommitted", 1)]),
    ("app/namespaces.rs", "transfer", &[("CommandCommitted", 1)]),
    ("app/schedules.rs", "create_schedule", &[("CommandCommitted", 1)]),
    ("app/schedules.rs", "delete_schedule", &[("CommandCommitted", 1)]),
    ("app/schedules.rs", "set_schedule_paused", &[("CommandCommitted", 1)]),
    ("app/schedules.rs", "trigger_schedule", &[("CommandCommitted", 1)]),
    ("app/schedules.rs", "update_schedule", &[("CommandCommitted", 1)]),
    ("app/users.rs", "begin_sign_in", &[("CommandCommitted", 1)]),
    ("app/users.rs", "change_password", &[("CommandCommitted", 1)]),
    ("app/users.rs", "create_person", &[("CommandCommitted", 1)]),
    ("app/users.rs", "enter", &[("CommandCommitted", 1)]),
    ("app/users.rs", "refresh", &[("CommandCommitted", 1)]),
    ("app/users.rs", "rename_user", &[("CommandCommitted", 1)]),
    ("app/users.rs", "sign_in_vouched", &[("CommandCommitted", 1)]),
    ("app/users.rs", "sign_out", &[("CommandCommitted", 1)]),
    ("dispatcher/due.rs", "run", &[("DueCommitted", 1)]),
    ("dispatcher/erase.rs", "erase", &[("EraseCommitted", 2)]),
    ("dispatcher/leadership.rs", "lead_on", &[("TermTaken", 1)]),
    ("dispatcher/reconcile.rs", "run", &[("RepairCommitted", 1)]),
    ("dispatcher/relay.rs", "relay", &[("EventsPublished", 1), ("EventsRead", 1)]),
    ("dispatcher/schedules.rs", "look", &[("TickCommitted", 1), ("TickPlanned", 1)]),
    ("dispatcher/starts.rs", "begin", &[("TermRead", 1)]),
    ("dispatcher/starts.rs", "publish", &[("WorkPublished", 1)]),
    ("dispatcher/starts.rs", "start", &[("StartCommitted", 1)]),
    ("dispatcher/starts.rs", "start_what_can_start", &[("StartMatched", 1)]),
    ("dispatcher/starts.rs", "tell_beacon", &[("BeaconPublished", 1)]),
    ("dispatcher/vitals.rs", "expire", &[("ExpiryCommitted", 1)]),
    ("dispatcher/vitals.rs", "fail_overdue", &[("DeadlineCommitted", 1)]),
    ("dispatcher/vitals.rs", "return_left", &[("ReturnCommitted", 1)]),
    ("dispatcher/vitals.rs", "run", &[("TermRenewed", 1)]),
    ("grpc/queues.rs", "set_limits", &[("CommandCommitted", 1)]),
    ("grpc/queues.rs", "set_paused", &[("CommandCommitted", 1)]),
    ("sessions/demand.rs", "run", &[("DemandPublished", 1)]),
    (
        "sessions/hello.rs",
        "open",
        &[("HelloCommitted", 1), ("HelloOpened", 1), ("ReturnCommitted", 1), ("WelcomePushed", 1)],
    ),
    ("sessions/intake.rs", "hold_all", &[("WorkTakenIn", 1)]),
    ("sessions/intake.rs", "read_batch", &[("PayloadRead", 1), ("RunPushed", 1)]),
    ("sessions/results.rs", "acknowledge", &[("ResultAcknowledged", 1)]),
    ("sessions/results.rs", "hand_back", &[("ReturnCommitted", 1)]),
    ("sessions/stream.rs", "goodbye", &[("GoodbyeCommitted", 1), ("ReturnCommitted", 1)]),
    ("sessions/stream.rs", "handle", &[("FarewellPushed", 1)]),
    ("sessions/stream.rs", "run", &[("DrainPushed", 1)]),
    ("sessions/upkeep.rs", "compare", &[("ReturnCommitted", 1)]),
    ("sessions/upkeep.rs", "renew", &[("DrainPushed", 1), ("RenewalCommitted", 1)]),
    ("sessions/upkeep.rs", "stop_runs", &[("StopPushed", 1)]),
    ("wakes.rs", "publish", &[("WakePublished", 1)]),
];

/// Functions that do something for the outside to see and have no point of their own, and why.
const WITHOUT: &[(&str, &str, &str)] = &[
    ("app/creates.rs", "ensure", "a queue without tasks is no promise; the create behind it has a point"),
    ("dispatcher/backlog.rs", "run", "tells a count, anew every 5 s; nothing follows from it"),
    ("dispatcher/housekeeping.rs", "drop_partitions", "what it began is ended by whoever comes next"),
    ("dispatcher/housekeeping.rs", "forget_words", "forgets words of no task, which only guesses go by"),
    ("dispatcher/housekeeping.rs", "keep_house", "forgets what is of no use any more; each statement stands alone"),
    ("dispatcher/leadership.rs", "lead_on", "the next term that it takes goes through the point at its beginning"),
    ("dispatcher/leadership.rs", "run", "the term that it takes is passed to `lead_on`, which begins with a point"),
    ("dispatcher/reconcile.rs", "adopt", "begun anew by the next leader, until no row is left"),
    ("dispatcher/relay.rs", "publish", "called by `relay`, which has the points"),
    ("dispatcher/relay.rs", "ensure_and_relay", "makes streams, which hold nothing yet"),
    ("dispatcher/starts.rs", "begin", "makes streams, which hold nothing yet"),
    ("dispatcher/starts.rs", "check_publishing", "makes streams, which hold nothing yet"),
    ("dispatcher/starts.rs", "open", "begins an epoch, in a transaction of its own that every connection repeats"),
    ("dispatcher/starts.rs", "send", "called by `publish`, which has the point"),
    ("dispatcher/vitals.rs", "move_deadlines", "one statement, and nothing follows from it"),
    ("identity/signing.rs", "ensure", "a key that signs nothing yet; whoever comes next finds it"),
    ("identity/uses.rs", "keep", "when a key was last used is told again with its next use"),
    ("lib.rs", "index_pool", "begins an epoch, as above"),
    ("lib.rs", "make_partitions", "empty partitions, made again by any pod"),
    ("lib.rs", "run", "begins an epoch, as above"),
    ("progress.rs", "tell", "progress is kept nowhere"),
    ("setup.rs", "advance_epoch", "an operator's command, not a pod's"),
    ("setup.rs", "create_user", "as above; `app/users.rs` has the point"),
    ("setup.rs", "first_admin", "as above"),
];

/// What is a deed, besides the functions of the store that write: parts of a line.
const DEEDS: &[&str] = &[
    "bus.tell(",
    ".publish_work(",
    ".publish_events(",
    ".ensure_streams(",
    "outbox.assign(",
    "Message::Acks(",
    "Message::Drain(",
    "Message::Farewell(",
    "Message::Stops(",
    "Message::Welcome(",
];

/// A function: file, name, text.
struct Function {
    file: String,
    name: String,
    text: String,
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/tasks/src")
}

/// All functions below a folder, tests aside. The sources are formatted: a function ends with the first `}` that is
/// indented like its beginning.
fn functions(folder: &Path) -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(sources())?.to_string_lossy().into_owned();
            let text = fs::read_to_string(&path)?;
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for (number, line) in lines.iter().enumerate() {
                let Some(name) = function_name(line) else { continue };
                let indent = &line[..line.len() - line.trim_start().len()];
                let end = lines[number..].iter().position(|line| *line == format!("{indent}}}"));
                let end = end.with_context(|| format!("{file}: `{name}` does not end"))?;
                let text = lines[number..=number + end].join("\n");
                functions.push(Function { file: file.clone(), name: name.to_owned(), text });
            }
        }
    }
    Ok(functions)
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "pub(super)", "pub(crate)", "const", "async", "unsafe"];
    // One-line functions do nothing of note, and a signature in a trait has no body.
    let is_one = before.split_whitespace().all(|word| words.contains(&word)) && !line.ends_with(['}', ';']);
    is_one.then(|| after.split(['(', '<']).next()).flatten()
}

#[test]
fn every_point_stands_where_it_should() -> Result<()> {
    let mut found: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    for function in functions(&sources())? {
        for after in function.text.split("fault::reach(FaultPoint::").skip(1) {
            let point = after.split(')').next().unwrap_or_default().to_owned();
            let place = (function.file.clone(), function.name.clone());
            *found.entry(place).or_default().entry(point).or_default() += 1;
        }
    }
    let expected: BTreeMap<(String, String), BTreeMap<String, usize>> = PLACES
        .iter()
        .map(|(file, name, points)| {
            let points = points.iter().map(|(point, times)| ((*point).to_owned(), *times)).collect();
            (((*file).to_owned(), (*name).to_owned()), points)
        })
        .collect();
    assert_eq!(found, expected, "tests/tests/faults/points.rs says where points stand");
    let used: BTreeSet<String> = found.into_values().flat_map(BTreeMap::into_keys).collect();
    let all: BTreeSet<String> = FaultPoint::ALL.iter().map(|point| format!("{point:?}")).collect();
    assert_eq!(used, all);
    let names: BTreeSet<&str> = FaultPoint::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), FaultPoint::ALL.len(), "a name of its own for each");
    Ok(())
}

#[test]
fn no_deed_is_without_a_point() -> Result<()> {
    let writes = ["insert into ", "update tasks.", "delete from ", "create table ", "drop table ", "detach partition "];
    let store = sources().join("store");
    let mut deeds: Vec<String> = DEEDS.iter().map(|deed| (*deed).to_owned()).collect();
    let in_store = functions(&store)?;
    let does = |function: &Function| writes.iter().any(|write| function.text.contains(write));
    for function in in_store.iter().filter(|function| does(function)) {
        let module = function.file.trim_start_matches("store/").trim_end_matches(".rs");
        deeds.push(format!("{module}::{}(", function.name));
        // Those that are not for others are called by those that are, of the same module.
        let callers = in_store.iter().filter(|caller| caller.file == function.file);
        for caller in callers.filter(|caller| caller.text.contains(&format!("{}(", function.name))) {
            deeds.push(format!("{module}::{}(", caller.name));
        }
    }
    let mut without = BTreeSet::new();
    for function in functions(&sources())?.into_iter().filter(|function| !function.file.starts_with("store")) {
        let last = deeds.iter().filter_map(|deed| function.text.rfind(deed.as_str())).max();
        // The point comes behind the last deed, for nothing after it would be noticed.
        let point = function.text.rfind("fault::reach(");
        if last.is_some_and(|last| point.is_none_or(|point| point < last)) {
            without.insert((function.file, function.name));
        }
    }
    let excused: BTreeSet<(String, String)> =
        WITHOUT.iter().map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned())).collect();
    assert_eq!(without, excused, "left: no point behind what is done; right: the exceptions of points.rs");
    Ok(())
}
