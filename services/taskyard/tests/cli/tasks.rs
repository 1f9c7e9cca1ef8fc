//! `taskyard task` and `taskyard queue`.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use taskyard_testkit::eventually;

use super::harness::Up;

fn id_of(task: &Value) -> Result<&str> {
    task["id"].as_str().context("an id")
}

#[tokio::test]
async fn json_is_the_same_as_in_rest() -> Result<()> {
    let up = Up::start().await?;
    let created = up
        .call(&[
            "task",
            "create",
            "--json",
            "--kind",
            "manual",
            "--queue",
            "people",
            "--title",
            "größer",
            "--description",
            "a\nb",
            "--payload",
            "{\"a\": 1.00}",
            "--label",
            "team=growth",
            "--priority",
            "7",
            "--timeout",
            "90s",
            "--attempts",
            "3",
            "--backoff",
            "250ms",
            "--backoff-max",
            "1m",
        ])?
        .document()?;
    let id = id_of(&created)?;
    let (shown, rest) = (up.call(&["task", "get", id, "--json"])?.document()?, up.rest(&format!("/v1/tasks/{id}"))?);
    assert_eq!(shown, rest);
    assert_eq!(shown["retry"]["backoff_max_ms"], 60_000);

    up.call(&["task", "create", "--kind", "noop", "--wait"])?.good()?;
    assert_eq!(Value::from(up.call(&["task", "list", "--json"])?.documents()?), up.rest("/v1/tasks")?["tasks"]);
    assert_eq!(Value::from(up.call(&["queue", "list", "--json"])?.documents()?), up.rest("/v1/queues")?["queues"]);
    let events = up.call(&["task", "events", id, "--json"])?.documents()?;
    assert_eq!(Value::from(events), up.rest(&format!("/v1/tasks/{id}/events"))?["events"]);
    up.stop().await
}

#[tokio::test]
async fn a_task_is_steered_through_its_life() -> Result<()> {
    let up = Up::start().await?;
    let task =
        up.call(&["task", "create", "--kind", "manual", "--label", "a=b", "--label", "c=d", "--json"])?.document()?;
    let id = id_of(&task)?;
    let changes = ["--title", "new", "--label", "a=x", "--remove-label", "c", "--priority", "9"];
    let changed = up.call(&[&["task", "update", id, "--json"], &changes[..]].concat())?.document()?;
    assert_eq!(changed["labels"], serde_json::json!({"a": "x"}));
    assert_eq!((&changed["title"], &changed["priority"]), (&"new".into(), &9.into()));
    let stale = up.call(&["task", "update", id, "--title", "newer", "--version", "1"])?;
    assert!(stale.code == 1 && stale.err.contains("VERSION_MISMATCH"), "{stale:?}");

    // One that is refused does not hinder the others.
    let cancelled = up.call(&["task", "cancel", "0190b5a0-5c1e-7c3a-9d3e-0f6a2f8f6f11", id, "--reason", "no need"])?;
    assert_eq!(cancelled.code, 1);
    assert!(cancelled.err.contains("TASK_NOT_FOUND") && cancelled.out.contains("canceled  no need"), "{cancelled:?}");
    assert!(up.call(&["task", "retry", id])?.good()?.contains("open"));
    assert!(up.call(&["task", "complete", id, "--result", "[1]"])?.good()?.contains("completed"));
    let shown = up.call(&["task", "get", id])?.good()?;
    assert!(shown.contains("result      [1]") && shown.contains("labels      a=x"), "{shown}");
    assert!(up.call(&["task", "delete", id])?.good()?.contains("deleted"));
    assert_eq!(up.call(&["task", "get", id])?.code, 1);
    up.stop().await
}

#[tokio::test]
async fn who_waits_learns_how_it_ended() -> Result<()> {
    let up = Up::start().await?;
    let create =
        |payload: &str| up.call(&["task", "create", "--kind", "sleep", "--payload", payload, "--wait", "--json"]);
    let done = create("{\"ms\": 300, \"steps\": 3}")?;
    assert_eq!((done.code, done.document()?["state"].as_str()), (0, Some("completed")));
    let dead = create("{\"ms\": 1, \"fail\": \"broke\", \"fatal\": true}")?;
    assert_eq!(dead.code, 1);
    assert!(dead.out.contains("\"state\":\"dead\"") && dead.out.contains("\"error\":\"broke\""), "{dead:?}");

    let retried = up.call(&["task", "retry", "--all-dead", "--kind", "sleep", "--json"])?.document()?;
    assert_eq!(retried["retried"], 1);
    up.stop().await
}

#[tokio::test]
async fn all_that_match_are_canceled_or_completed() -> Result<()> {
    let up = Up::start().await?;
    // Lines are known by their number and content.
    for (kind, queue, line) in [("manual", "people", "{}\n"), ("for-nobody", "mail", "{\"priority\": 6}\n")] {
        let import = ["task", "import", "--kind", kind, "--queue", queue];
        up.call_with(&import, line.repeat(250).as_bytes())?.good()?;
    }
    let all = up.call(&["task", "cancel", "--all-active"])?;
    assert!(all.code == 1 && all.err.contains("INVALID_INPUT"), "nothing is named: {all:?}");
    let canceled =
        up.call(&["task", "cancel", "--all-active", "--queue", "mail", "--state", "ready", "--reason", "x", "--json"])?;
    assert_eq!(canceled.document()?["canceled"], 250);
    let completed = up.call(&["task", "complete", "--all-open", "--queue", "people", "--result", "[1]"])?;
    assert_eq!(completed.good()?, "250 tasks are completed\n");
    assert!(up.call(&["task", "list", "--state", "open", "--state", "ready", "--json"])?.documents()?.is_empty());
    assert_eq!(up.call(&["task", "list", "--state", "canceled", "--limit", "1", "--json"])?.document()?["error"], "x");
    up.stop().await
}

#[tokio::test]
async fn the_description_is_that_of_the_server() -> Result<()> {
    let up = Up::start().await?;
    let printed: Value = serde_json::from_str(&up.call(&["openapi"])?.good()?)?;
    assert_eq!(printed, up.rest("/openapi.json")?);
    up.stop().await
}

#[tokio::test]
async fn a_list_walks_all_pages_and_ends_with_its_reader() -> Result<()> {
    let up = Up::start().await?;
    up.call_with(&["task", "import", "--kind", "manual"], "{}\n".repeat(1_200).as_bytes())?.good()?;
    let ids = |flags: &[&str]| -> Result<Vec<String>> {
        let listed = up.call(&[&["task", "list", "--json"], flags].concat())?.documents()?;
        listed.iter().map(|task| Ok(id_of(task)?.to_owned())).collect()
    };
    let mut all = ids(&["--all"])?;
    assert_eq!(all.len(), 1_200);
    assert_eq!(ids(&["--limit", "700"])?, all[..700]);
    assert_eq!(ids(&[])?.len(), 50);
    assert_eq!(ids(&["--created-after", "1h", "--state", "open", "--all"])?, all);
    assert!(ids(&["--created-before", "1h"])?.is_empty());
    let oldest_first = ids(&["--order", "created_asc", "--all"])?;
    all.reverse();
    assert_eq!(oldest_first, all);

    let script = format!("'{}' task list --all | head -n 1", super::harness::PROGRAM);
    let mut shell = std::process::Command::new("/bin/sh");
    let output = shell.args(["-c", &script]).env("TASKYARD_URL", &up.url).env("TASKYARD_TOKEN", &up.key).output()?;
    assert!(output.stdout.starts_with(b"ID ") && output.stderr.is_empty(), "{output:?}");
    up.stop().await
}

#[tokio::test]
async fn tasks_are_searched_and_listed_by_label() -> Result<()> {
    let up = Up::start().await?;
    for (title, label) in
        [("Deploy web servers", "team=growth"), ("Серверы приложений", "team=core"), ("Lunch", "team=growth")]
    {
        up.call(&["task", "create", "--kind", "manual", "--title", title, "--label", label])?.good()?;
    }
    let titles = |arguments: &[&str]| -> Result<Vec<String>> {
        let listed = up.call(&[&["task"], arguments, &["--json"]].concat())?.documents()?;
        Ok(listed
            .iter()
            .map(|hit| hit["task"]["title"].as_str().or(hit["title"].as_str()).unwrap_or("").to_owned())
            .collect())
    };
    eventually(Duration::from_secs(20), "the tasks are found", async || {
        titles(&["search", "lunch"]).ok().filter(|titles| !titles.is_empty())
    })
    .await?;
    assert_eq!(titles(&["search", "deploying", "\"web server\""])?, ["Deploy web servers"]);
    assert_eq!(titles(&["search", "сервер", "or", "servers -web"])?, ["Серверы приложений"]);
    assert_eq!(titles(&["list", "--label", "team=growth"])?, ["Lunch", "Deploy web servers"]);
    assert_eq!(titles(&["search", "servers", "--label", "team=core"])?, Vec::<String>::new());

    let shown = up.call(&["task", "search", "sevrers", "--state", "open"])?;
    assert!(shown.out.starts_with("Deploy web *servers*\n    "), "{shown:?}");
    assert!(shown.out.contains("  open  default/manual  "), "{shown:?}");
    assert!(shown.err.contains("this is what has: servers"), "{shown:?}");
    let refused = up.call(&["task", "search", &"a ".repeat(40)])?;
    assert!(refused.err.contains("at most 32 are allowed"), "{refused:?}");

    let hit = &up.rest("/v1/tasks/search?q=deploy&label=team:growth")?["hits"][0];
    assert_eq!(hit["title_html"], "<mark>Deploy</mark> web servers");
    up.stop().await
}

#[tokio::test]
async fn a_queue_is_paused_and_limited() -> Result<()> {
    let up = Up::start().await?;
    up.call(&["task", "create", "--kind", "manual", "--queue", "mail"])?.good()?;
    assert!(up.call(&["queue", "pause", "mail"])?.good()?.contains("mail (paused)"));
    let limited = up.call(&["queue", "limit", "mail", "--concurrency", "3", "--json"])?.document()?;
    assert_eq!((&limited["paused"], &limited["concurrency_max"]), (&true.into(), &3.into()));
    assert_eq!(up.call(&["queue", "resume", "mail", "--json"])?.document()?["paused"], false);
    let unknown = up.call(&["queue", "pause", "nobody"])?;
    assert!(unknown.code == 1 && unknown.err.contains("QUEUE_NOT_FOUND"), "{unknown:?}");
    up.stop().await
}
