//! `taskyard login`, `logout` and `whoami`.

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use taskyard_client::v1::who_am_i_response::Caller;

use crate::{
    exit::{Outcome, Usage},
    json,
    output::note,
    profile::{Credentials, Profile, Profiles, SignIn},
    server::{ServerArgs, ServerPlace},
};

/// Where to log in, and as whom.
#[derive(clap::Args, Debug)]
pub struct LoginArgs {
    #[command(flatten)]
    place: ServerPlace,
    /// The e-mail address; asked for if not given
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A file that holds the password, - for standard input; asked for if not given
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file that holds an OpenID Connect id token, - for standard input: in the place of address and password
    #[arg(long, conflicts_with_all = ["email", "password_file"], value_name = "FILE")]
    id_token_file: Option<PathBuf>,
    /// The namespace to work in; your own if not given
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    namespace: String,
}

/// Logs in and remembers it as a profile.
pub async fn login(args: LoginArgs) -> Outcome {
    let (client, url) = args.place.connect_unknown().await?;
    let agent = format!("taskyard {}", env!("CARGO_PKG_VERSION"));
    let signed_in = if let Some(file) = &args.id_token_file {
        client.sign_in_by_id_token(first_line(file)?.trim(), &args.namespace, &agent).await?
    } else {
        let email = match args.email {
            Some(email) => email,
            None => ask("E-mail address: ")?,
        };
        let password = match &args.password_file {
            Some(file) => first_line(file)?,
            None if std::io::stdin().is_terminal() => rpassword::prompt_password("Password: ")?,
            None => return Err(Usage::error("there is no terminal to ask for the password; give --password-file")),
        };
        client.sign_in(&email, &password, &args.namespace, &agent).await?
    };
    let sign_in = SignIn::new(signed_in.user.unwrap_or_default().email, signed_in.tokens.unwrap_or_default())?;
    let name = args.place.profile_name().to_owned();
    note(&format!("logged in as {} in the namespace {} (profile {name})", sign_in.email, sign_in.namespace));
    let profile = Profile { url, credentials: Credentials::SignIn(sign_in) };
    Profiles::change(async |profiles| {
        profiles.profiles.insert(name.clone(), profile);
        profiles.current = Some(name);
        Ok(())
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Which profile to log out of.
#[derive(clap::Args, Debug)]
pub struct LogoutArgs {
    #[command(flatten)]
    place: ServerPlace,
}

/// Ends the sign-in of a profile and forgets it.
pub async fn logout(args: LogoutArgs) -> Outcome {
    let name = args.place.profile_name().to_owned();
    let Some(profile) = Profiles::load()?.profiles.remove(&name) else {
        return Err(Usage::error(format!("there is no profile `{name}`")));
    };
    if let Credentials::SignIn(_) = profile.credentials {
        let ended = async { anyhow::Ok(args.place.connect_as(&name).await?.sign_out().await?) };
        if let Err(error) = ended.await {
            note(&format!("the sign-in could not be ended at the server: {error:#}"));
        }
    }
    Profiles::change(async |profiles| {
        profiles.profiles.remove(&name);
        profiles.current.take_if(|current| *current == name);
        Ok(())
    })
    .await?;
    note(&format!("logged out (profile {name})"));
    Ok(ExitCode::SUCCESS)
}

/// Which server to ask.
#[derive(clap::Args, Debug)]
pub struct WhoAmIArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Says who one is at the server.
pub async fn who_am_i(args: WhoAmIArgs) -> Outcome {
    let answer = args.server.connect().await?.who_am_i().await?;
    let mut output = args.server.output();
    if output.is_json() {
        output.json(&json::Me::from(answer))?;
    } else {
        let kind = match &answer.caller {
            Some(Caller::User(user)) if user.is_site_admin => "administrator of the installation",
            Some(Caller::User(_)) => "user",
            Some(Caller::KeyId(_)) => "key",
            Some(Caller::Service(_)) | None => "service",
        };
        let scopes = answer.scopes.join(", ");
        output.line(&format!("{} ({kind}) in {}: {scopes}", answer.name, answer.namespace))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn ask(question: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage::error("there is no terminal to ask for the e-mail address; give --email"));
    }
    note(question);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// The first line of a file.
pub fn first_line(file: &PathBuf) -> Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
