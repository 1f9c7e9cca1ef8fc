//! `taskyard namespace`.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use indicatif::ProgressBar;
use taskyard_client::{Client, v1};
use taskyard_core::limits::PAGE_SIZE_MAX;
use tokio::time::sleep;

use crate::{
    exit::{Outcome, Usage},
    json,
    output::{Output, is_watched, note},
    profile, progress,
    server::ServerArgs,
    text::{InvitationTable, MemberTable, NamespaceTable},
};

/// How often one asks how much is left of a namespace that is deleted.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Which server, and what to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the namespaces that you are a member of
    List,
    /// Make a shared namespace, which you own
    Create {
        /// Its name: 3 to 40 of a-z, 0-9 and -
        name: String,
    },
    /// Work in another namespace from now on: the profile's next token is bound to it
    Use {
        /// Its name
        name: String,
    },
    /// List the members
    Members {
        /// The namespace
        name: String,
    },
    /// Invite somebody; what they accept with is shown once
    Invite {
        /// The namespace
        name: String,
        /// Their e-mail address
        email: String,
        /// What they may do
        #[arg(long, value_enum, default_value = "viewer")]
        role: Role,
    },
    /// List the invitations that are open
    Invitations {
        /// The namespace
        name: String,
    },
    /// Take an invitation back
    Uninvite {
        /// The namespace
        name: String,
        /// The invitation's id
        id: String,
    },
    /// Accept an invitation
    Accept {
        /// What was shown when it was made
        secret: String,
    },
    /// Give a member another role
    Role {
        /// The namespace
        name: String,
        /// Their e-mail address
        email: String,
        /// What they may do
        #[arg(value_enum)]
        role: Role,
    },
    /// Take a member out, or leave
    Remove {
        /// The namespace
        name: String,
        /// Their e-mail address
        email: String,
    },
    /// Make another member the owner
    Transfer {
        /// The namespace
        name: String,
        /// Their e-mail address
        email: String,
    },
    /// Delete a namespace with everything in it
    Delete {
        /// The namespace
        name: String,
        /// Its name again: nothing of it comes back
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// Do not wait until all of it is gone
        #[arg(long)]
        no_wait: bool,
    },
}

/// What a member may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Looks
    Viewer,
    /// Creates and changes tasks, may be a worker
    Editor,
    /// Everything, members and keys included
    Admin,
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Editor => Self::Editor,
            Role::Admin => Self::Admin,
        }
    }
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    let mut output = args.server.output();
    if let Command::Use { name } = args.command {
        let profile = args.server.profile_in_use()?;
        let sign_in = profile::switch(&profile, &name).await?;
        note(&format!("working in the namespace {} (profile {profile})", sign_in.namespace));
        return Ok(ExitCode::SUCCESS);
    }
    let client = args.server.connect().await?;
    match args.command {
        Command::Use { .. } => {}
        Command::List => {
            let mut table = NamespaceTable::new();
            let mut request = v1::ListNamespacesRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
            loop {
                let page = client.list_namespaces(request.clone()).await?;
                output.all(page.namespaces, json::Namespace::from, |rows| table.lines(rows))?;
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
        }
        Command::Create { name } => show(client.create_namespace(name).await?, &mut output)?,
        Command::Members { name } => {
            let mut table = MemberTable::new();
            let members = members(&client, &name).await?;
            output.all(members, json::Member::from, |rows| table.lines(rows))?;
        }
        Command::Invite { name, email, role } => {
            let role = v1::Role::from(role).into();
            let made = client.create_invitation(v1::CreateInvitationRequest { namespace: name, email, role }).await?;
            if output.is_json() {
                output.json(&json::InvitationSecret::from(made))?;
            } else {
                note("they accept with `taskyard namespace accept` and this, which is not shown again:");
                output.line(&made.secret)?;
            }
        }
        Command::Invitations { name } => {
            let mut table = InvitationTable::new();
            let open = client.list_invitations(name).await?.invitations;
            output.all(open, json::Invitation::from, |rows| table.lines(rows))?;
        }
        Command::Uninvite { name, id } => client.delete_invitation(name, id).await?,
        Command::Accept { secret } => show(client.accept_invitation(secret).await?, &mut output)?,
        Command::Role { name, email, role } => {
            let user_id = member(&client, &name, &email).await?;
            let role = v1::Role::from(role).into();
            let request = v1::SetMemberRoleRequest { namespace: name, user_id, role };
            let member = client.set_member_role(request).await?;
            output.all(vec![member], json::Member::from, |rows| MemberTable::new().lines(rows))?;
        }
        Command::Remove { name, email } => {
            let user = member(&client, &name, &email).await?;
            client.remove_member(name, user).await?;
        }
        Command::Transfer { name, email } => {
            let user = member(&client, &name, &email).await?;
            show(client.transfer_namespace(name, user).await?, &mut output)?;
        }
        Command::Delete { name, confirm, no_wait } => {
            if confirm != name {
                return Err(Usage::error(format!("to delete `{name}`, repeat its name: --confirm {name}")));
            }
            let begun = client.delete_namespace(name.clone()).await?;
            if no_wait {
                show(begun, &mut output)?;
            } else {
                wait_until_gone(&client, &name).await?;
            }
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Shows how the deletion goes on, until the namespace is no more.
async fn wait_until_gone(client: &Client, name: &str) -> Result<()> {
    let bar = if is_watched() { progress::percent() } else { ProgressBar::hidden() };
    let mut most = 0;
    loop {
        let left = match client.get_namespace(name.to_owned()).await {
            Ok(namespace) => namespace.tasks_left,
            Err(error) if error.code == taskyard_core::ErrorCode::NamespaceNotFound => break,
            Err(error) => return Err(error.into()),
        };
        most = most.max(left);
        bar.set_position((most - left) * 100 / most.max(1));
        bar.set_message(format!("{left} tasks left"));
        sleep(LOOK_INTERVAL).await;
    }
    bar.finish_and_clear();
    note(&format!("the namespace {name} is gone"));
    Ok(())
}

fn show(namespace: v1::Namespace, output: &mut Output) -> Result<()> {
    output.all(vec![namespace], json::Namespace::from, |rows| NamespaceTable::new().lines(rows))
}

async fn members(client: &Client, namespace: &str) -> Result<Vec<v1::Member>> {
    let mut request =
        v1::ListMembersRequest { namespace: namespace.to_owned(), page_size: PAGE_SIZE_MAX, ..Default::default() };
    let mut members = Vec::new();
    loop {
        let page = client.list_members(request.clone()).await?;
        members.extend(page.members);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(members);
        }
    }
}

/// The id of a member with an address.
async fn member(client: &Client, namespace: &str, email: &str) -> Result<String> {
    let found = members(client, namespace).await?.into_iter().find(|member| member.email.eq_ignore_ascii_case(email));
    found.map(|member| member.user_id).ok_or_else(|| Usage::error(format!("{email} is no member of `{namespace}`")))
}
