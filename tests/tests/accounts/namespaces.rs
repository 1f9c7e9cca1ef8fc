//! Namespaces: shared, joined, left, handed over.

use std::time::Duration;

use anyhow::{Context, Result};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{self, Role};
use taskyard_tests::{Answer, noop, read};
use tokio::time::{Instant, sleep};

use crate::{
    people::code,
    setup::{Accounts, shown},
};

impl Accounts {
    async fn make(&self, token: &str, name: &str) -> Answer<v1::Namespace> {
        let request = shown(token, v1::CreateNamespaceRequest { name: name.into() });
        Ok(read(self.namespaces().create_namespace(request).await)?.namespace.unwrap_or_default())
    }

    async fn invite(&self, token: &str, namespace: &str, email: &str, role: Role) -> Answer<String> {
        let request =
            v1::CreateInvitationRequest { namespace: namespace.into(), email: email.into(), role: role.into() };
        Ok(read(self.namespaces().create_invitation(shown(token, request)).await)?.secret)
    }

    async fn accept(&self, token: &str, secret: &str) -> Answer<v1::Namespace> {
        let request = shown(token, v1::AcceptInvitationRequest { secret: secret.into() });
        Ok(read(self.namespaces().accept_invitation(request).await)?.namespace.unwrap_or_default())
    }

    async fn set_role(&self, token: &str, namespace: &str, user: &str, role: Role) -> Answer<v1::Member> {
        let request = v1::SetMemberRoleRequest { namespace: namespace.into(), user_id: user.into(), role: role.into() };
        Ok(read(self.namespaces().set_member_role(shown(token, request)).await)?.member.unwrap_or_default())
    }

    async fn remove(&self, token: &str, namespace: &str, user: &str) -> Answer<v1::RemoveMemberResponse> {
        let request = v1::RemoveMemberRequest { namespace: namespace.into(), user_id: user.into() };
        read(self.namespaces().remove_member(shown(token, request)).await)
    }

    async fn names(&self, token: &str) -> Answer<Vec<String>> {
        let page = read(self.namespaces().list_namespaces(shown(token, v1::ListNamespacesRequest::default())).await)?;
        Ok(page.namespaces.into_iter().map(|namespace| namespace.name).collect())
    }
}

#[tokio::test]
async fn a_namespace_is_shared() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    let team = accounts.make(&ada.access, "team").await?;
    assert!(team.is_owner && !team.is_personal && team.role() == Role::Admin, "{team:?}");
    assert_eq!(code(accounts.make(&eve.access, "team").await), ErrorCode::NameTaken);
    for wrong in ["", "ab", "Team", "-team", "team-", "a b", &"x".repeat(41)] {
        assert_eq!(code(accounts.make(&ada.access, wrong).await), ErrorCode::InvalidInput, "{wrong}");
    }
    assert_eq!(accounts.names(&ada.access).await?, ["ada", "team"]);
    // To whoever is no member it is not there.
    let get = v1::GetNamespaceRequest { name: "team".into() };
    let unseen = read(accounts.namespaces().get_namespace(shown(&eve.access, get)).await);
    assert_eq!(code(unseen), ErrorCode::NamespaceNotFound);
    assert_eq!(code(accounts.refresh(&eve.refresh, "team").await), ErrorCode::NamespaceNotFound);
    assert_eq!(
        code(accounts.invite(&eve.access, "team", "x@example.com", Role::Admin).await),
        ErrorCode::NamespaceNotFound
    );

    let secret = accounts.invite(&ada.access, "team", "eve@example.com", Role::Viewer).await?;
    assert_eq!(code(accounts.accept(&eve.access, "tyi_wrong").await), ErrorCode::UserNotFound);
    let joined = accounts.accept(&eve.access, &secret).await?;
    assert_eq!((joined.name.as_str(), joined.role()), ("team", Role::Viewer));
    assert_eq!(code(accounts.accept(&eve.access, &secret).await), ErrorCode::UserNotFound, "once only");

    // A token is for one namespace; another one is another token.
    let in_team = accounts.refresh(&ada.refresh, "team").await?.access_token;
    let task = accounts.create(&in_team, noop()).await?;
    assert_eq!(code(accounts.get(&ada.access, &task.id).await), ErrorCode::TaskNotFound);
    let eves = accounts.refresh(&eve.refresh, "team").await?.access_token;
    assert_eq!(accounts.get(&eves, &task.id).await?.namespace, "team");
    assert_eq!(code(accounts.create(&eves, noop()).await), ErrorCode::Forbidden, "a viewer looks");
    assert_eq!(
        code(accounts.set_role(&eve.access, "team", &eve.id, Role::Admin).await),
        ErrorCode::Forbidden,
        "not by herself"
    );
    // The same token can do more once she may.
    accounts.set_role(&ada.access, "team", &eve.id, Role::Editor).await?;
    accounts.create(&eves, noop()).await?;
    assert_eq!(code(accounts.key(&eves, &["tasks:read"], &[]).await), ErrorCode::Forbidden, "no admin");
    accounts.remove(&ada.access, "team", &eve.id).await?;
    assert_eq!(code(accounts.get(&eves, &task.id).await), ErrorCode::Unauthenticated);
    assert_eq!(code(accounts.remove(&ada.access, "team", &eve.id).await), ErrorCode::UserNotFound);
    // Nobody is invited into what is somebody's own.
    let own = accounts.invite(&ada.access, "ada", "eve@example.com", Role::Viewer).await;
    assert_eq!(code(own), ErrorCode::Forbidden);
    accounts.close().await
}

#[tokio::test]
async fn a_namespace_is_handed_over_and_left() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    accounts.make(&ada.access, "team").await?;
    let transfer = async |token: &str, to: &str| {
        let request = v1::TransferNamespaceRequest { name: "team".into(), user_id: to.into() };
        read(accounts.namespaces().transfer_namespace(shown(token, request)).await)
    };
    assert_eq!(code(transfer(&ada.access, &eve.id).await), ErrorCode::UserNotFound, "no member");
    let secret = accounts.invite(&ada.access, "team", "eve@example.com", Role::Admin).await?;
    accounts.accept(&eve.access, &secret).await?;
    // Not even an admin takes it, or puts the owner out.
    assert_eq!(code(transfer(&eve.access, &eve.id).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.remove(&eve.access, "team", &ada.id).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.set_role(&eve.access, "team", &ada.id, Role::Viewer).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.remove(&ada.access, "team", &ada.id).await), ErrorCode::Forbidden);
    let handed = transfer(&ada.access, &eve.id).await?.namespace.unwrap_or_default();
    assert!(!handed.is_owner && handed.role() == Role::Admin, "{handed:?}");
    // Now she may leave.
    accounts.remove(&ada.access, "team", &ada.id).await?;
    assert_eq!(accounts.names(&ada.access).await?, ["ada"]);
    assert_eq!(accounts.names(&eve.access).await?, ["eve", "team"]);
    accounts.close().await
}

/// Whoever becomes the owner at the moment in which an admin takes them out stays.
#[tokio::test]
async fn an_owner_is_never_taken_out() -> Result<()> {
    let accounts = Accounts::open().await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    accounts.make(&ada.access, "team").await?;
    let secret = accounts.invite(&ada.access, "team", "eve@example.com", Role::Viewer).await?;
    accounts.accept(&eve.access, &secret).await?;
    // Both wait for her row, the transfer first.
    let mut held = accounts.stack.pool.begin().await?;
    sqlx::query("select from tasks.members where user_id = $1::uuid for update")
        .bind(&eve.id)
        .execute(&mut *held)
        .await?;
    let transfer = tokio::spawn({
        let request = v1::TransferNamespaceRequest { name: "team".into(), user_id: eve.id.clone() };
        let (mut namespaces, request) = (accounts.namespaces(), shown(&ada.access, request));
        async move { namespaces.transfer_namespace(request).await }
    });
    sleep(Duration::from_millis(500)).await;
    let removal = tokio::spawn({
        let request = v1::RemoveMemberRequest { namespace: "team".into(), user_id: eve.id.clone() };
        let (mut namespaces, request) = (accounts.namespaces(), shown(&ada.access, request));
        async move { read(namespaces.remove_member(request).await) }
    });
    sleep(Duration::from_millis(500)).await;
    held.commit().await?;
    transfer.await??;
    assert_eq!(code(removal.await?), ErrorCode::Forbidden);
    let page = v1::GetNamespaceRequest { name: "team".into() };
    let team = accounts.namespaces().get_namespace(shown(&eve.access, page)).await?.into_inner();
    let team = team.namespace.unwrap_or_default();
    assert!(team.is_owner && team.role() == Role::Admin, "{team:?}");
    accounts.close().await
}

#[tokio::test]
async fn nobody_owns_more_namespaces_than_one_may() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let fill = "with made as (
            insert into tasks.namespaces (name, owner) select 'own-' || n, $1::uuid from generate_series(1, 98) n
            returning id
        )
        insert into tasks.members (namespace, user_id, role) select id, $1::uuid, 3 from made";
    sqlx::query(fill).bind(&ada.id).execute(&accounts.stack.pool).await?;
    let names: Vec<_> = (0..10).map(|number| format!("more-{number}")).collect();
    let made = futures::future::join_all(names.iter().map(|name| accounts.make(&ada.access, name))).await;
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 2);
    assert!(refused.into_iter().all(|answer| code(answer) == ErrorCode::Exhausted));
    accounts.close().await
}

#[tokio::test]
async fn a_namespace_is_deleted_with_everything_in_it() -> Result<()> {
    let accounts = Accounts::open().await?;
    let pool = &accounts.stack.pool;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    accounts.make(&ada.access, "team").await?;
    let secret = accounts.invite(&ada.access, "team", "eve@example.com", Role::Editor).await?;
    accounts.accept(&eve.access, &secret).await?;
    accounts.invite(&ada.access, "team", "bob@example.com", Role::Viewer).await?;
    let team = accounts.refresh(&ada.refresh, "team").await?.access_token;
    let (_, key) = accounts.key(&team, &["tasks:read"], &[]).await?;
    // More than are deleted at once, with words and labels, and one elsewhere that stays.
    let labeled =
        || v1::NewTask { title: "a red fox".into(), labels: [("tier".into(), "gold".into())].into(), ..noop() };
    for _ in 0..3 {
        let request = v1::CreateTasksRequest { tasks: (0..200).map(|_| labeled()).collect() };
        let made = read(accounts.tasks().create_tasks(shown(&team, request)).await)?;
        assert_eq!(made.results.len(), 200);
    }
    let kept = accounts.create(&ada.access, labeled()).await?;
    let number: i32 = sqlx::query_scalar("select id from tasks.namespaces where name = 'team'").fetch_one(pool).await?;
    assert!(rows_of(&accounts, number).await?.len() >= 6, "there is something to delete");

    let delete = async |token: &str| {
        let request = v1::DeleteNamespaceRequest { name: "team".into() };
        read(accounts.namespaces().delete_namespace(shown(token, request)).await)
    };
    assert_eq!(code(delete(&eve.access).await), ErrorCode::Forbidden, "not hers");
    let begun = delete(&ada.access).await?.namespace.unwrap_or_default();
    assert!(begun.deleting_since.is_some(), "{begun:?}");
    // Nobody gets in any more, whatever they show.
    let closed = Instant::now();
    while accounts.create(&team, noop()).await.is_ok() || accounts.get(&key, &kept.id).await.is_ok() {
        assert!(closed.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(code(accounts.refresh(&ada.refresh, "team").await), ErrorCode::Forbidden, "it is going");

    // Its name is free when nothing is left of it.
    while accounts.names(&ada.access).await? != ["ada"] {
        assert!(closed.elapsed() < Duration::from_secs(60), "{:?}", rows_of(&accounts, number).await?);
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(rows_of(&accounts, number).await?, [], "left behind");
    accounts.get(&ada.access, &kept.id).await?;
    accounts.make(&eve.access, "team").await.context("a name that is free")?;
    accounts.close().await
}

/// Every table that knows of namespaces and has rows of this one, and how many.
async fn rows_of(accounts: &Accounts, namespace: i32) -> Result<Vec<(String, i64)>> {
    let pool = &accounts.stack.pool;
    let sql = "select table_name::text from information_schema.columns \
               where table_schema = 'tasks' and column_name = 'namespace' order by 1";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await?;
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select count(*) from tasks.{table} where namespace = $1");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(namespace).fetch_one(pool).await?;
        if rows > 0 {
            found.push((table, rows));
        }
    }
    Ok(found)
}
