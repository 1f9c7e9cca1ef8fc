//! What `taskyard up` says once it is ready.

use std::{env, net::SocketAddr, path::Path};

use super::{Addresses, account::Accounts};
use crate::commands::listen;

/// Where everything is, and what to try first.
pub fn text(addresses: Addresses, dir: Option<&Path>, accounts: &Accounts) -> String {
    let program = env::args().next().unwrap_or_else(|| "taskyard".to_owned());
    text_for(&program, addresses, dir, accounts)
}

fn text_for(program: &str, addresses: Addresses, dir: Option<&Path>, accounts: &Accounts) -> String {
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
    if let Accounts::New(account) = accounts {
        lines.extend([
            String::new(),
            "The first administrator, shown this once and kept in account.json there:".to_owned(),
            format!("  {}", account.email),
            format!("  {}", account.password),
        ]);
    }
    lines.extend([String::new(), "In another terminal, in this folder:".to_owned()]);
    if matches!(accounts, Accounts::Others) {
        lines.push(format!("  {program} login --url {gateway}"));
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
    use crate::commands::up::account::Account;

    #[test]
    fn it_names_what_is_not_as_usual() {
        let address = |text: &str| text.parse().unwrap();
        let usual = Addresses {
            gateway: address("127.0.0.1:8080"),
            tasks: address("127.0.0.1:50051"),
            ops: address("127.0.0.1:9090"),
        };
        let account = || Account { email: "a@b.example".into(), password: "secret".into(), key: "tyk_x".into() };
        let text = text_for("taskyard", usual, None, &Accounts::Known(account()));
        assert!(!text.contains("login") && !text.contains("Data") && !text.contains("secret"), "{text}");
        let text = text_for("taskyard", usual, None, &Accounts::New(account()));
        assert!(text.contains("  a@b.example\n  secret\n") && !text.contains("tyk_x"), "{text}");
        let other = Addresses { gateway: address("0.0.0.0:81"), ..usual };
        let text = text_for("target/taskyard", other, Some(Path::new("/x")), &Accounts::Others);
        for part in ["  target/taskyard login --url http://127.0.0.1:81\n", "Data           /x\n"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("\n  target/taskyard task create --kind sleep"), "{text}");
    }
}
