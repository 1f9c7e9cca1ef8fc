//! Namespaces: shared, joined, left, handed over.

use anyhow::Result;
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{self, Role};
use taskyard_tests::{Answer, noop, read};

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
