//! NetworkPolicies: what must pass passes (the other tests show that tasks run), and nothing else does.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::space::{Space, shell_image};

/// Every port of ours and of the servers.
const PORTS: [(&str, u16); 6] = [
    ("taskyard-gateway", 8080),
    ("taskyard-tasks", 50051),
    ("taskyard-tasks", 9090),
    ("taskyard-devstack-postgres", 5432),
    ("taskyard-devstack-valkey", 6379),
    ("taskyard-devstack-nats", 4222),
];

#[tokio::test]
async fn policies_let_through_what_is_needed_and_no_more() -> Result<()> {
    Space::with("network", async |space| {
        space.install("").await?;
        let of = |component: &str| -> BTreeMap<String, String> {
            [("name", "taskyard"), ("instance", "taskyard"), ("component", component)]
                .map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned()))
                .into()
        };
        let servers =
            ["taskyard-devstack-postgres:5432", "taskyard-devstack-valkey:6379", "taskyard-devstack-nats:4222"];
        let mut tasks_reach = servers.to_vec();
        tasks_reach.sort_unstable();
        for (who, labels, reaches) in [
            ("stranger", BTreeMap::new(), vec!["taskyard-gateway:8080"]),
            ("gateway", of("gateway"), vec!["taskyard-devstack-valkey:6379", "taskyard-tasks:50051"]),
            ("worker", of("worker"), vec!["taskyard-tasks:50051"]),
            ("tasks", of("tasks"), tasks_reach),
            ("migrate", of("migrate"), vec!["taskyard-devstack-postgres:5432"]),
        ] {
            let mut found = reached(space, who, &labels).await?;
            found.sort_unstable();
            ensure!(found == reaches, "{who} reaches {found:?}, and should reach {reaches:?}");
        }
        Ok(())
    })
    .await
}

/// Which of the ports a pod with these labels reaches.
async fn reached(space: &Space, who: &str, labels: &BTreeMap<String, String>) -> Result<Vec<String>> {
    // The official image of Postgres has bash and no nc; small ones have nc and no bash. A connection that is not made
    // within 2 s is none; one that is made and goes on is ended.
    let reach = "reach() {
        if command -v bash >/dev/null; then timeout 2 bash -c \"</dev/tcp/$1/$2\" 2>/dev/null; return; fi
        timeout 4 nc -w 2 $1 $2 </dev/null >/dev/null 2>&1
        case $? in 0|124|143) ;; *) return 1 ;; esac
    }\n";
    let tries: String =
        PORTS.iter().map(|(host, port)| format!("if reach {host} {port}; then echo {host}:{port}; fi;\n")).collect();
    let script = format!("{reach}{tries}");
    let (ended, log) = space.run_pod(&format!("try-{who}"), &shell_image(), &["sh", "-c", &script], labels).await?;
    ensure!(ended, "nothing could be tried: {log}");
    Ok(log.lines().map(str::to_owned).collect())
}
