//! `taskyard devstack`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::harness::call;

#[test]
fn a_command_finds_the_servers_and_its_code_is_ours() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let programs: PathBuf = workspace.join(".taskyard/servers");
    let dir = std::env::temp_dir().join(format!("taskyard-devstack-{}", std::process::id()));
    let run = |script: &str| {
        let (dir, programs) = (dir.to_string_lossy(), programs.to_string_lossy());
        let path = std::env::var("PATH").unwrap_or_default();
        let home = std::env::var("HOME").unwrap_or_default();
        let arguments = ["devstack", "--dir", &dir, "--programs-dir", &programs, "--", "/bin/sh", "-c", script];
        call(&arguments, &[("PATH", &path), ("HOME", &home)], b"")
    };
    let called = run("echo $DATABASE_URL $REDIS_URL $NATS_URL; exit 7")?;
    assert_eq!(called.code, 7, "{called:?}");
    let urls: Vec<_> = called.out.split_whitespace().filter_map(|url| url.split("://").next()).collect();
    assert_eq!(urls, ["postgres", "redis", "nats"]);
    assert_eq!(run("kill -KILL $$")?.code, 137);
    let unknown = call(
        &["devstack", "--dir", &dir.to_string_lossy(), "--", "/no/such/program"],
        &[("PATH", "/usr/bin:/bin"), ("TASKYARD_PROGRAMS_DIR", &programs.to_string_lossy())],
        b"",
    )?;
    assert!(unknown.code == 1 && unknown.err.contains("cannot run /no/such/program"), "{unknown:?}");
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
