//! What `taskyard up` says once it is ready.

use std::{env, net::SocketAddr, path::Path};

use super::Addresses;
use crate::commands::listen;

const DEFAULT_GATEWAY: &str = "127.0.0.1:8080";

/// Where everything is, and what to try first.
pub fn text(addresses: Addresses, dir: Option<&Path>, has_token: bool) -> String {
    let program = env::args().next().unwrap_or_else(|| "taskyard".to_owned());
    text_for(&program, addresses, dir, has_token)
}

fn text_for(program: &str, addresses: Addresses, dir: Option<&Path>, has_token: bool) -> String {
    let url = |address: SocketAddr| format!("http://{}", listen::reachable(address));
    let gateway = url(addresses.gateway);
    let mut lines = vec![
        "Taskyard is ready.".to_owned(),
        String::new(),
        format!("  REST and gRPC  {gateway}"),
        format!("  Tasks pod      {} (gRPC)", url(addresses.tasks)),
        format!("  Health         {}/readyz", url(addresses.ops)),
        format!("  Metrics        {}/metrics", url(addresses.ops)),
    ];
    lines.extend(dir.map(|dir| format!("  Data           {}", dir.display())));
    lines.extend([String::new(), "In another terminal:".to_owned()]);
    if listen::reachable(addresses.gateway).to_string() != DEFAULT_GATEWAY {
        lines.push(format!("  export TASKYARD_URL={gateway}"));
    }
    if has_token {
        lines.push("  export TASKYARD_TOKEN=…".to_owned());
    }
    lines.extend([
        format!("  {program} task create --kind sleep --payload '{{\"ms\": 3000, \"steps\": 10}}' --wait"),
        format!("  {program} task watch --progress"),
        format!("  {program} --help"),
        String::new(),
        "Ctrl-C stops it; the data stay.".to_owned(),
    ]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_is_not_as_usual() {
        let address = |text: &str| text.parse().unwrap();
        let usual = Addresses {
            gateway: address("127.0.0.1:8080"),
            tasks: address("127.0.0.1:50051"),
            ops: address("127.0.0.1:9090"),
        };
        let text = text_for("taskyard", usual, None, false);
        assert!(!text.contains("export") && !text.contains("Data"), "{text}");
        let other = Addresses { gateway: address("0.0.0.0:81"), ..usual };
        let text = text_for("target/taskyard", other, Some(Path::new("/x")), true);
        for part in ["export TASKYARD_URL=http://127.0.0.1:81\n", "export TASKYARD_TOKEN=…\n", "Data           /x\n"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("\n  target/taskyard task create --kind sleep"), "{text}");
    }
}
