//! What administrators of the installation do from the command line.

use anyhow::Result;
use serde_json::json;

use super::harness::{Called, Up, call};

const EVE: &str = "eve@example.com";

/// The program as the first administrator calls it, who has signed in in a folder of their own.
struct Root {
    up: Up,
    home: tempfile::TempDir,
}

impl Root {
    async fn log_in() -> Result<Self> {
        let root = Self { up: Up::start().await?, home: tempfile::tempdir()? };
        let account = root.up.account()?;
        let (email, password) = (account["email"].as_str().unwrap_or(""), account["password"].as_str().unwrap_or(""));
        let login = ["login", "--url", &root.up.url, "--email", email, "--password-file", "-"];
        call(&login, &[("HOME", &root.home.path().to_string_lossy())], format!("{password}\n").as_bytes())?.good()?;
        Ok(root)
    }

    fn call(&self, line: &str) -> Result<Called> {
        let words: Vec<_> = line.split(' ').collect();
        call(&words, &[("HOME", &self.home.path().to_string_lossy())], b"")
    }

    /// Eve's account is made by the operator of the database.
    fn make_eve(&self) -> Result<()> {
        let environment = self.up.environment();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let create = ["admin", "create-user", "--email", EVE, "--password-file", "-"];
        call(&create, &environment, b"correct horse battery\n")?.good()?;
        Ok(())
    }
}

#[tokio::test]
async fn users_are_shown_shut_out_and_made_administrators() -> Result<()> {
    let root = Root::log_in().await?;
    root.make_eve()?;
    let all = root.call("admin list-users --json")?.documents()?;
    assert_eq!(all.len(), 2);
    let eve = root.call(&format!("admin list-users --email {EVE} --json"))?.document()?;
    assert_eq!(
        (&eve["email"], &eve["is_site_admin"], &eve["is_disabled"]),
        (&json!(EVE), &json!(false), &json!(false))
    );

    let shown = root.call(&format!("admin disable-user {EVE} --json"))?.document()?;
    assert_eq!(shown["is_disabled"], true);
    assert!(root.call("admin list-users")?.good()?.contains("shut out"));
    assert_eq!(root.call(&format!("admin enable-user {EVE} --json"))?.document()?["is_disabled"], false);
    assert_eq!(root.call(&format!("admin make-admin {EVE} --json"))?.document()?["is_site_admin"], true);
    assert_eq!(root.call(&format!("admin unmake-admin {EVE} --json"))?.document()?["is_site_admin"], false);

    let missing = root.call("admin disable-user nobody@example.com")?;
    assert!(missing.code == 1 && missing.err.contains("there is no user nobody@example.com"), "{missing:?}");
    let own = root.up.account()?["email"].as_str().unwrap_or("").to_owned();
    for command in ["disable-user", "unmake-admin"] {
        let refused = root.call(&format!("admin {command} {own}"))?;
        assert!(refused.code == 1 && refused.err.contains("FORBIDDEN"), "{refused:?}");
    }
    // A key is nobody's who could be an administrator.
    let by_key = root.up.call(&["admin", "list-users"])?;
    assert!(by_key.code == 1 && by_key.err.contains("FORBIDDEN"), "{by_key:?}");
    root.up.stop().await
}

#[tokio::test]
async fn namespaces_are_shown_and_limited_and_all_of_it_is_in_the_audit_log() -> Result<()> {
    let root = Root::log_in().await?;
    let shown = root.call("admin limit-namespace default --active-tasks 1000 --queues 7 --json")?.document()?;
    assert_eq!(shown["quota"], json!({ "active_tasks_max": 1_000, "payload_bytes_max": null, "queues_max": 7 }));
    // What is not named stays.
    root.call("admin limit-namespace default --active-tasks default --payload-bytes 5000")?.good()?;
    let shown = root.call("admin list-namespaces --name default --json")?.document()?;
    assert_eq!(shown["quota"], json!({ "active_tasks_max": null, "payload_bytes_max": 5_000, "queues_max": 7 }));
    assert!(root.call("admin list-namespaces --json")?.documents()?.len() >= 2);
    assert!(root.call("admin list-namespaces")?.good()?.contains("of 7"));
    let missing = root.call("admin limit-namespace nowhere --queues 1")?;
    assert!(missing.code == 1 && missing.err.contains("there is no namespace `nowhere`"), "{missing:?}");

    let entries = root.call("admin audit --all --json")?.documents()?;
    let did: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap_or("")).collect();
    assert_eq!(did[0], "audit.list");
    assert_eq!(did.iter().filter(|action| **action == "namespace.quota").count(), 2);
    assert_eq!(
        entries.iter().find(|it| it["action"] == "namespace.quota").map(|it| &it["subject"]),
        Some(&json!("default"))
    );
    assert_eq!(root.call("admin audit --limit 2 --json")?.documents()?.len(), 2);
    let few = root.call("admin audit --limit 1")?;
    assert!(few.out.starts_with("TIME") && few.err.contains("--all shows all of it"), "{few:?}");
    root.up.stop().await
}
