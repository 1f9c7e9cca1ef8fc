//! `taskyard admin list-users`, `disable-user`, `enable-user`, `make-admin` and `unmake-admin`.

use std::process::ExitCode;

use anyhow::Result;
use taskyard_client::{Client, v1};
use taskyard_core::{Error, ErrorCode, limits::PAGE_SIZE_MAX};

use crate::{
    exit::Outcome,
    json,
    output::{Output, note},
    server::ServerArgs,
    text::UserTable,
};

/// Which server, and whom.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only the one with this e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

/// Which server, and whom.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Their e-mail address
    email: String,
}

/// What an administrator does to a user.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    Disable,
    Enable,
    MakeAdmin,
    UnmakeAdmin,
}

/// Lists users.
pub async fn list(args: ListArgs) -> Outcome {
    let client = args.server.connect().await?;
    let mut output = args.server.output();
    if let Some(email) = args.email {
        show(vec![find(&client, &email).await?], &mut output, &mut UserTable::new())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = UserTable::new();
    let mut request = v1::ListUsersRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
    loop {
        let page = client.list_users(request.clone()).await?;
        show(page.users, &mut output, &mut table)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Does something to a user, and shows how they stand then.
pub async fn change(args: Args, deed: Deed) -> Outcome {
    let client = args.server.connect().await?;
    let user = find(&client, &args.email).await?;
    match deed {
        Deed::Disable => client.set_user_disabled(user.id, true).await?,
        Deed::Enable => client.set_user_disabled(user.id, false).await?,
        Deed::MakeAdmin => client.set_user_admin(user.id, true).await?,
        Deed::UnmakeAdmin => client.set_user_admin(user.id, false).await?,
    }
    if matches!(deed, Deed::Disable) {
        note("whatever they have open ends within 5 seconds");
    }
    let user = find(&client, &args.email).await?;
    show(vec![user], &mut args.server.output(), &mut UserTable::new())?;
    Ok(ExitCode::SUCCESS)
}

async fn find(client: &Client, email: &str) -> Result<v1::UserOverview> {
    let request = v1::ListUsersRequest { email: email.to_owned(), ..Default::default() };
    let found = client.list_users(request).await?.users.pop();
    Ok(found.ok_or_else(|| Error::new(ErrorCode::UserNotFound, format!("there is no user {email}")))?)
}

fn show(users: Vec<v1::UserOverview>, output: &mut Output, table: &mut UserTable) -> Result<()> {
    output.all(users, json::UserOverview::from, |users| table.lines(users))
}
