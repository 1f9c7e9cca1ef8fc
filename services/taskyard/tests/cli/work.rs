//! `taskyard work`.

use std::time::Duration;

use anyhow::Result;
use taskyard_testkit::Process;

use super::harness::{PROGRAM, Up};

#[tokio::test]
async fn any_program_is_a_worker() -> Result<()> {
    let up = Up::start().await?;
    let script =
        "read payload; echo progress 50 half; echo \"{\\\"got\\\": $payload, \\\"kind\\\": \\\"$TASKYARD_KIND\\\"}\"";
    let arguments = ["work", "--queue", "q", "--kind", "shell", "--", "/bin/sh", "-c", script];
    let mut worker = Process::spawn(PROGRAM, arguments, [("TASKYARD_URL", &up.url), ("TASKYARD_TOKEN", &up.key)])?;
    let create = ["task", "create", "--kind", "shell", "--queue", "q", "--payload", "[1]", "--wait", "--json"];
    let task = up.call(&create)?.document()?;
    assert_eq!(task["result"], serde_json::json!({"got": [1], "kind": "shell"}));
    worker.terminate()?;
    assert!(worker.wait_exit(Duration::from_secs(10)).await?.success());
    up.stop().await
}
