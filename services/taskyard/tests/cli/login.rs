//! Signing in, profiles, and keys.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::harness::{Called, PROGRAM, Up, call};

/// The program as somebody with a home folder of their own calls it, in a folder.
fn at_home(home: &Path, arguments: &[&str], input: &[u8]) -> Result<Called> {
    let _ = PROGRAM;
    call(arguments, &[("HOME", &home.to_string_lossy())], input)
}

#[tokio::test]
async fn one_logs_in_makes_a_key_and_logs_out() -> Result<()> {
    let up = Up::start().await?;
    let home = tempfile::tempdir()?;
    let home = home.path();
    let account = up.account()?;
    let (email, password) = (account["email"].as_str().unwrap_or(""), account["password"].as_str().unwrap_or(""));
    let login = ["login", "--url", &up.url, "--email", email, "--password-file", "-"];
    let wrong = at_home(home, &login, b"wrong password\n")?;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("UNAUTHENTICATED"), "{}", wrong.err);
    let into_default = [&login[..], &["--namespace", "default"]].concat();
    at_home(home, &into_default, format!("{password}\n").as_bytes())?.good()?;
    let me = at_home(home, &["whoami", "--json"], b"")?.document()?;
    assert_eq!((me["name"].as_str(), me["namespace"].as_str()), (Some(email), Some("default")));
    // The file is its owner's alone.
    let file = home.join(".config/taskyard/profiles.json");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    // A token that is about to end is refreshed, by however many at once.
    let mut profiles: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    profiles["profiles"]["default"]["sign_in"]["expires_at"] = 0.into();
    std::fs::write(&file, profiles.to_string())?;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let home = home.to_owned();
            std::thread::spawn(move || at_home(&home, &["whoami"], b""))
        })
        .collect();
    for call in calls {
        call.join().expect("no panic")?.good()?;
    }
    let create = ["key", "create", "ci", "--scope", "tasks:write", "--scope", "tasks:read", "--json"];
    let key = at_home(home, &create, b"")?.document()?;
    let secret = key["secret"].as_str().unwrap_or_default();
    let as_key = |arguments: &[&str]| call(arguments, &[("TASKYARD_URL", &up.url), ("TASKYARD_TOKEN", secret)], b"");
    as_key(&["task", "create", "--kind", "noop", "--wait"])?.good()?;
    assert!(as_key(&["queue", "pause", "default"])?.err.contains("FORBIDDEN"));
    assert!(at_home(home, &["key", "list"], b"")?.good()?.contains("tasks:read,tasks:write"));
    at_home(home, &["key", "revoke", key["id"].as_str().unwrap_or_default()], b"")?.good()?;
    assert!(as_key(&["task", "list"])?.err.contains("UNAUTHENTICATED"));
    at_home(home, &["logout"], b"")?.good()?;
    assert!(at_home(home, &["whoami", "--url", &up.url], b"")?.err.contains("UNAUTHENTICATED"));
    up.stop().await
}

#[tokio::test]
async fn the_folder_of_up_is_found() -> Result<()> {
    let up = Up::start().await?;
    let place = tempfile::tempdir()?;
    std::os::unix::fs::symlink(up.folder(), place.path().join(".taskyard"))?;
    let output = std::process::Command::new(PROGRAM)
        .args(["whoami"])
        .env_clear()
        .env("HOME", "/nowhere")
        .current_dir(place.path())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.starts_with("first key (key) in default"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    up.stop().await
}
