//! `taskyard task import`.

use anyhow::Result;
use serde_json::json;

use super::harness::{Up, documents};

#[tokio::test]
async fn a_bad_line_is_named_and_hinders_no_other() -> Result<()> {
    let up = Up::start().await?;
    let mut lines = br#"{"kind": "manual", "title": "first"}
no json
{"kind": "manual", "colour": "red"}

{"kind": "a b"}
{"kind": "manual", "delay_ms": 99999999999999}
{"kind": "manual", "title": ""#
        .to_vec();
    lines.extend(b"\xff\"}\n{\"title\": \"last\"}");
    let import = ["task", "import", "-", "--queue", "q", "--kind", "manual"];
    let called = up.call_with(&import, &lines)?;
    assert_eq!((called.code, called.out.as_str()), (1, "2 created, 0 already there, 5 refused\n"));
    for named in [
        "line 2: is not a JSON object",
        "line 3: colour: unknown field `colour`",
        "line 5: kind: `a b` must begin",
        "line 6: delay_ms: must be at most",
        "line 7: is not UTF-8",
    ] {
        assert!(called.err.contains(named), "{named}: {}", called.err);
    }
    let tasks = up.call(&["task", "list", "--queue", "q", "--json"])?.documents()?;
    let mut titles: Vec<_> = tasks.iter().filter_map(|task| task["title"].as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["first", "last"]);
    up.stop().await
}

#[tokio::test]
async fn it_can_be_repeated() -> Result<()> {
    let up = Up::start().await?;
    // A line that stands twice is two tasks; a key or an id of its own wins.
    let mut lines = "{\"kind\": \"manual\"}\n".repeat(2_500);
    lines.push_str("{\"kind\": \"manual\", \"idempotency_key\": \"mine\"}\n{\"kind\": \"manual\", \"idempotency_key\": \"mine\"}\n");
    let path = std::env::temp_dir().join(format!("taskyard-import-{}", std::process::id()));
    std::fs::write(&path, &lines)?;
    let file = path.to_string_lossy();
    let import = |file: &str| up.call(&["task", "import", file, "--json"]);
    assert_eq!(import(&file)?.document()?, json!({"created": 2_501, "existing": 1, "refused": 0}));
    assert_eq!(import(&file)?.document()?, json!({"created": 0, "existing": 2_502, "refused": 0}));
    // What was added since is new.
    std::fs::write(&path, lines + "{\"kind\": \"manual\"}")?;
    assert_eq!(import(&file)?.document()?, json!({"created": 1, "existing": 2_502, "refused": 0}));
    std::fs::remove_file(&path)?;
    let missing = import(&file)?;
    assert!(missing.code == 1 && missing.err.contains("cannot open"), "{missing:?}");
    up.stop().await
}

#[tokio::test]
async fn a_line_beyond_the_limit_is_a_bad_line() -> Result<()> {
    let up = Up::start().await?;
    let long = format!("{{\"kind\": \"manual\", \"payload\": \"{}\"}}", "x".repeat(17 << 20));
    let too_much = format!("{{\"kind\": \"manual\", \"payload\": \"{}\"}}", "x".repeat(2 << 20));
    let lines = format!("{{\"kind\": \"manual\"}}\n{long}\n{too_much}\n{{\"kind\": \"manual\"}}\n");
    let called = up.call_with(&["task", "import", "--json"], lines.as_bytes())?;
    assert_eq!(called.code, 1);
    let told = documents(&called.out)?;
    let (summary, bad) = told.split_last().expect("a summary");
    assert_eq!(*summary, json!({"created": 2, "existing": 0, "refused": 2}));
    let codes: Vec<_> = bad.iter().map(|bad| (bad["line"].as_u64(), bad["error"]["code"].as_str())).collect();
    assert_eq!(codes, [(Some(2), Some("TOO_LARGE")), (Some(3), Some("INVALID_INPUT"))]);
    up.stop().await
}
