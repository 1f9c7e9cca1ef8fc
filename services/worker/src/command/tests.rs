//! Real commands.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use taskyard_client::worker::testing;
use tokio::io::AsyncReadExt;

use super::*;
use taskyard_client::worker::StopReason;

fn sh(script: &str) -> Program {
    Program::find(&["sh", "-c", script].map(OsString::from)).unwrap()
}

fn job(payload: impl Into<bytes::Bytes>) -> Job {
    testing::job("shell", payload)
}

async fn run(script: &str) -> Outcome {
    run_with(script, "null").await
}

async fn run_with(script: &str, payload: impl Into<bytes::Bytes>) -> Outcome {
    let passed = Passed::to(tokio::io::sink());
    running::run(&sh(script), &passed, &job(payload), &testing::context().0).await
}

fn completed(json: &str) -> Outcome {
    Outcome::Completed(bytes::Bytes::copy_from_slice(json.as_bytes()))
}

/// The error, and whether it is for good.
fn failure(outcome: Outcome) -> (String, bool) {
    match outcome {
        Outcome::Failed { error, fatal, retry_after: None } => (error, fatal),
        other => panic!("{other:?}"),
    }
}

/// Tells the command to stop as soon as it has told progress, and how it ended and after what time.
async fn stop(script: &str, reason: StopReason) -> (Outcome, Duration) {
    let (context, probe) = testing::context();
    let (program, passed, job) = (sh(script), Passed::to(tokio::io::sink()), job("null"));
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(running::run(&program, &passed, &job, &context), async {
        probe.progressed().await;
        probe.stop(reason);
    });
    (outcome, began.elapsed())
}

/// Waits until a process is gone whose number the script has written to a file.
async fn gone(pid_file: &Path) {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let lives = || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // A dead process that nobody has asked for yet is not alive.
        !status.is_empty() && !status.contains(") Z ")
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while lives() {
        assert!(Instant::now() < deadline, "process {pid} still lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::remove_file(pid_file).unwrap();
}

fn temporary(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("taskyard-command-{}-{name}", std::process::id()))
}

#[tokio::test]
async fn payload_and_variables_arrive() {
    assert_eq!(run_with("cat", "{\"a\": [1, 2]}").await, completed("{\"a\": [1, 2]}"));
    let mut job = job("null");
    (job.attempt, job.title) = (2, "a \"title\"\nof two lines".to_owned());
    let script = "printf '\"%s %s %s %s %s\"' \"$TASKYARD_TASK_ID\" \"$TASKYARD_RUN\" \"$TASKYARD_ATTEMPT\" \
                  \"$TASKYARD_QUEUE\" \"$TASKYARD_KIND\"";
    let passed = Passed::to(tokio::io::sink());
    let outcome = running::run(&sh(script), &passed, &job, &testing::context().0).await;
    assert_eq!(outcome, completed(&format!("\"{} 1 3 default shell\"", job.task_id)));
    let script = "test \"$TASKYARD_TITLE\" = 'a \"title\"\nof two lines'";
    let outcome = running::run(&sh(script), &passed, &job, &testing::context().0).await;
    assert_eq!(outcome, completed("null"));
}

#[tokio::test]
async fn the_last_document_is_the_result() {
    for (script, result) in [
        ("true", "null"),
        ("echo done", "null"),
        ("echo 5", "5"),
        ("echo '{\"a\":1}'; echo bye", "{\"a\":1}"),
        ("echo '{\"a\":1}'; echo '[2]'", "[2]"),
        ("printf '{\\n  \"a\": 1\\n}'", "{\n  \"a\": 1\n}"),
        ("echo 1 >&2", "null"),
    ] {
        assert_eq!(run(script).await, completed(result), "{script}");
    }
}

#[tokio::test]
async fn progress_is_told() {
    let (context, probe) = testing::context();
    let passed = Passed::to(tokio::io::sink());
    let (program, job) = (sh("echo progress 10 first; echo progress 40 half way; echo 7"), job("null"));
    assert_eq!(running::run(&program, &passed, &job, &context).await, completed("7"));
    assert_eq!(probe.progress(), Some((40, "half way".to_owned())));
}

#[tokio::test]
async fn exit_codes_mean_what_they_say() {
    let errors = "echo first >&2; echo last words >&2;";
    let (error, fatal) = failure(run(&format!("{errors} exit 75")).await);
    assert_eq!(
        (error.as_str(), fatal),
        ("the command asks to be tried again (exit code 75): first\nlast words", false)
    );
    for code in [1, 2, 74, 76, 126, 127, 255] {
        let (error, fatal) = failure(run(&format!("{errors} exit {code}")).await);
        assert_eq!(error, format!("the command failed with exit code {code}: first\nlast words"));
        assert!(fatal);
    }
    let (error, fatal) = failure(run("exit 3").await);
    assert!(fatal && error.contains("without a word"), "{error}");
    let (error, fatal) = failure(run("kill -9 $$").await);
    assert!(!fatal && error.contains("SIGKILL"), "{error}");
    let (error, fatal) = failure(run("kill -11 $$").await);
    assert!(!fatal && error.contains("SIGSEGV"), "{error}");
}

#[tokio::test]
async fn the_end_of_standard_error_is_the_reason_and_all_of_it_is_passed_on() {
    let (writer, mut reader) = tokio::io::duplex(1 << 20);
    let passed = Passed::to(writer);
    let job = job("null");
    let program = sh("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1");
    let (error, _) = failure(running::run(&program, &passed, &job, &testing::context().0).await);
    assert!(error.len() <= limits::ERROR_BYTES_MAX && error.ends_with("line 1999"), "{}", error.len());
    drop(passed);
    let mut seen = String::new();
    reader.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen.lines().count(), 2_000);
    assert_eq!(seen.lines().last(), Some(format!("[{}] line 1999", job.task_id).as_str()));
}

#[tokio::test]
async fn no_size_and_no_silence_is_a_deadlock() {
    let large = format!("\"{}\"", "x".repeat(limits::RESULT_BYTES_MAX - 2));
    // It does not read; it reads late; it writes before it reads; it writes both ways.
    assert_eq!(run_with("true", large.clone()).await, completed("null"));
    assert_eq!(run_with("exec <&-; sleep 0.3", large.clone()).await, completed("null"));
    assert!(run_with("head -c 300000 /dev/zero >&2; cat", large.clone()).await == completed(&large));
    assert!(run_with("tee /dev/stderr", large.clone()).await == completed(&large));
}

#[tokio::test]
async fn a_result_that_is_too_large_is_a_failure() {
    let (error, fatal) = failure(run("printf '\"'; head -c 3000000 /dev/zero | tr '\\0' x; printf '\"'").await);
    assert!(fatal && error.contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn what_a_command_leaves_running_is_ended() {
    let file = temporary("left");
    let script = format!("sleep 300 & echo $! > {}; echo 1", file.display());
    let began = Instant::now();
    assert_eq!(run(&script).await, completed("1"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    gone(&file).await;
}

#[tokio::test]
async fn a_helper_at_the_other_end_of_a_pipe_may_finish() {
    assert_eq!(run("(sleep 0.3; echo 7) & exit 0").await, completed("7"));
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_the_run() {
    let file = temporary("setsid");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}; sleep 20' & while ! [ -s {0} ]; do sleep 0.05; done; echo 1",
        file.display()
    );
    let began = Instant::now();
    assert_eq!(run(&script).await, completed("1"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_whole_group() {
    let file = temporary("group");
    let script = format!("sleep 300 & echo $! > {}; echo progress 1; wait", file.display());
    let (outcome, took) = stop(&script, StopReason::Canceled).await;
    assert_eq!(outcome, Outcome::Stopped);
    assert!(took < Duration::from_secs(3), "{took:?}");
    gone(&file).await;
}

#[tokio::test]
async fn what_ignores_the_request_to_end_is_killed() {
    let (outcome, took) =
        stop("trap '' TERM; echo progress 1; sleep 300 & wait; sleep 300", StopReason::Canceled).await;
    assert_eq!(outcome, Outcome::Stopped);
    assert!((TERMINATE..TERMINATE + Duration::from_secs(2)).contains(&took), "{took:?}");
}

const TERMINATE: Duration = running::TERMINATE_GRACE;

#[tokio::test]
async fn a_command_that_ends_well_when_told_to_end_is_done() {
    let script = "trap 'echo \"{\\\"done\\\":true}\"; exit 0' TERM; echo progress 1; while :; do sleep 0.05; done";
    for reason in [StopReason::TimedOut, StopReason::ShuttingDown, StopReason::Canceled] {
        assert_eq!(stop(script, reason).await.0, completed("{\"done\":true}"));
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_leaves_its_last_words() {
    let (outcome, _) = stop("echo at step 7 >&2; sleep 0.2; echo progress 1; sleep 300", StopReason::TimedOut).await;
    assert_eq!(failure(outcome), ("at step 7".to_owned(), false));
    assert_eq!(stop("echo progress 1; sleep 300", StopReason::TimedOut).await.0, Outcome::Stopped);
    let (outcome, _) = stop("echo x >&2; echo progress 1; sleep 300", StopReason::ShuttingDown).await;
    assert_eq!(outcome, Outcome::Stopped, "handed back");
}

#[tokio::test]
async fn an_aborted_run_leaves_no_process() {
    let file = temporary("abort");
    let script = format!("trap '' TERM; sleep 300 & echo $! > {}; wait", file.display());
    let aborted = tokio::spawn(async move { run(&script).await });
    while !std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    aborted.abort();
    let _ = aborted.await;
    gone(&file).await;
}

#[tokio::test]
async fn a_command_that_is_gone_meanwhile_is_a_failure_that_may_pass() {
    let program = Program { path: "/does/not/exist".into(), arguments: vec![] };
    let passed = Passed::to(tokio::io::sink());
    let (error, fatal) = failure(running::run(&program, &passed, &job("null"), &testing::context().0).await);
    assert!(!fatal && error.contains("/does/not/exist"), "{error}");
}

#[test]
fn a_wrong_configuration_is_an_error_before_anything_is_connected_to() {
    let config = CommandConfig {
        queues: vec![],
        kinds: vec!["a b".to_owned()],
        concurrency: 0,
        worker_name: None,
        grace_period_s: 1,
        command: vec!["does-not-exist".into()],
    };
    let error = config.check().expect_err("wrong").to_string();
    for part in ["3 mistakes", "does-not-exist", "--concurrency", "--kind"] {
        assert!(error.contains(part), "{error}");
    }
}
