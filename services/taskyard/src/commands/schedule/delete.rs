//! `taskyard schedule delete`.

use std::process::ExitCode;

use crate::{
    exit::{Outcome, refusal},
    output::note,
    server::ServerArgs,
};

/// Which schedules.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The schedules
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Deletes them; goes on after one that is refused.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    let mut output = server.output();
    let mut code = ExitCode::SUCCESS;
    for name in args.names {
        match client.delete_schedule(&name).await {
            Ok(()) if output.is_json() => output.json(&serde_json::json!({ "name": name, "deleted": true }))?,
            Ok(()) => output.line(&format!("{name}  deleted"))?,
            Err(error) => {
                note(&format!("error: {name}: {}", refusal(&error)));
                code = ExitCode::FAILURE;
            }
        }
        output.flush()?;
    }
    Ok(code)
}
