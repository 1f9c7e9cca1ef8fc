//! What the operator is told.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use taskyard_runtime::config::Problems;

/// Flags of the operator.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// Where the API server is answered, over TLS
    #[arg(
        id = "operator_listen",
        long = "listen",
        env = "TASKYARD_OPERATOR_LISTEN",
        default_value = "127.0.0.1:8443",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// The tasks service; several with commas between
    #[arg(
        long = "tasks-url",
        env = "TASKYARD_TASKS_URL",
        default_value = "http://127.0.0.1:50051",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub tasks_urls: Vec<String>,
    /// The Service, of its own namespace, by which the API server calls it
    #[arg(long, env = "TASKYARD_OPERATOR_SERVICE", default_value = "taskyard-operator", value_name = "NAME")]
    pub service: String,
    /// A Secret that exists, of its own namespace: the certificate is made and renewed in it
    #[arg(long, env = "TASKYARD_OPERATOR_TLS_SECRET", value_name = "NAME")]
    pub tls_secret: Option<String>,
    /// A folder with `tls.crt` and `tls.key`, which somebody else renews; instead of a Secret
    #[arg(long, env = "TASKYARD_OPERATOR_TLS_FOLDER", value_name = "FOLDER")]
    pub tls_folder: Option<String>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Made and renewed by the operator, and made known to the API server.
    Secret(String),
    /// Made, renewed and made known by another, such as cert-manager.
    Folder(PathBuf),
}

/// What the operator runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the tasks service is.
    pub tasks_urls: Vec<String>,
    /// The name of its Service.
    pub service: String,
    pub(crate) source: Source,
}

impl OperatorArgs {
    /// The configuration, checked.
    pub fn check(self, problems: &mut Problems) -> Option<Config> {
        if self.tasks_urls.iter().all(|url| url.trim().is_empty()) {
            problems.add("--tasks-url (TASKYARD_TASKS_URL) is empty; it must be a URL such as http://tasks:50051");
        }
        // Empty is not given: a chart says it by a condition.
        let secret = self.tls_secret.filter(|name| !name.is_empty());
        let folder = self.tls_folder.filter(|folder| !folder.is_empty());
        let source = match (secret, folder) {
            (Some(secret), None) => Some(Source::Secret(secret)),
            (None, Some(folder)) => Some(Source::Folder(folder.into())),
            _ => {
                problems.add(
                    "one of --tls-secret (TASKYARD_OPERATOR_TLS_SECRET) and --tls-folder \
                     (TASKYARD_OPERATOR_TLS_FOLDER) must be given",
                );
                None
            }
        };
        let Self { listen, tasks_urls, service, .. } = self;
        Some(Config { listen, tasks_urls, service, source: source? })
    }
}
