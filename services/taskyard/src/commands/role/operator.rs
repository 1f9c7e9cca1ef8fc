//! `taskyard operator`.

use std::path::PathBuf;

use taskyard_operator::OperatorArgs;
use taskyard_runtime::{
    config::{LogArgs, OpsArgs, Problems, Secret, read_secret},
    telemetry,
};

use crate::commands::listen;

/// By what the tasks service knows the operator.
#[derive(clap::Args, Debug)]
struct OperatorKey {
    /// Its key, the same as the tasks service's (tys_…)
    #[arg(long, env = "TASKYARD_OPERATOR_KEY", hide_env_values = true, value_name = "KEY")]
    operator_key: Option<Secret>,
    /// A file that holds it
    #[arg(long, env = "TASKYARD_OPERATOR_KEY_FILE", value_name = "FILE")]
    operator_key_file: Option<PathBuf>,
}

impl OperatorKey {
    fn require(&self, problems: &mut Problems) -> Option<Secret> {
        let name = "TASKYARD_OPERATOR_KEY";
        if self.operator_key.is_none() && self.operator_key_file.is_none() {
            problems.add(format!("{name} is missing; it must be the same as the tasks service's"));
        }
        read_secret(name, self.operator_key.as_ref(), self.operator_key_file.as_ref(), problems)
    }
}

/// What the operator is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    key: OperatorKey,
    #[command(flatten)]
    ops: OpsArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the operator.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let key = args.key.require(&mut problems);
    let config = args.operator.check(&mut problems);
    let (config, key) = problems.finish(config.zip(key))?;
    telemetry::init(&args.log)?;
    let mut problems = Problems::default();
    let operator = listen::bind(config.listen, "--listen", &mut problems).await;
    let ops = listen::bind(args.ops.ops_listen, "--ops-listen", &mut problems).await;
    let (operator, ops) = problems.finish(operator.zip(ops))?;
    super::serve(ops, |health, _, stop| taskyard_operator::run(config, key, operator, health, stop)).await
}
