//! What cannot be understood, and what cannot be reached.

use anyhow::Result;

use super::harness::{PROGRAM, call};

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_would_be_right() -> Result<()> {
    for (line, expected) in [
        ("task create", "--kind"),
        ("task create --kind k --payload {", "--payload: is not a JSON document"),
        ("task create --kind k --payload @/no/such/file", "cannot open /no/such/file"),
        ("task create --kind k --timeout 10", "write it like 500ms, 30s"),
        ("task create --kind k --due tomorrow", "write it like 2026-01-31T12:00:00Z"),
        ("task create --kind k --label x", "write it like team=growth"),
        ("task update x", "nothing to change"),
        ("admin limit-namespace team", "nothing to change"),
        ("admin limit-namespace team --queues few", "give a number, or `default`"),
        ("task list --state done", "use open, scheduled"),
        ("task list --url localhost", "--url: `localhost` does not begin with http://"),
        ("health --url ftp://x", "--url is `ftp://x/`"),
        ("migrate", "DATABASE_URL is missing"),
        ("tasks --retention-days 1", "the configuration has 4 mistakes"),
        ("gateway --trusted-proxy proxy", "--trusted-proxy `proxy`"),
        ("worker --slots 0", "--slots is 0"),
        ("up --prefix A", "TASKYARD_PREFIX must have"),
        ("work --kind k --concurrency 0 -- true", "--concurrency is 0"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let called = call(&words, &[("PATH", "/usr/bin:/bin")], b"")?;
        let code = if expected.contains("cannot open") { 1 } else { 2 };
        assert!(called.code == code && called.err.contains(expected), "{line}: {called:?}");
        assert!(!called.err.contains("panicked"), "{line}: {called:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_not_there_is_named_soon() -> Result<()> {
    let called = call(&["task", "list", "--url", "http://127.0.0.1:1"], &[], b"")?;
    assert_eq!(called.code, 1);
    for part in ["no server answers at http://127.0.0.1:1", "`taskyard up` starts one", "UNAVAILABLE"] {
        assert!(called.err.contains(part), "{}", called.err);
    }
    Ok(())
}

#[test]
fn whoever_reads_no_more_sees_no_panic() -> Result<()> {
    for command in ["--help", "completions bash", "completions zsh"] {
        let script = format!("'{PROGRAM}' {command} | head -n 1");
        let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output()?;
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && err.is_empty(), "{command}: {err}");
    }
    Ok(())
}
