//! Administrators of the installation: what they set, what they see, and that it is written down.

use anyhow::{Context, Result};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{
    self, CancelTaskRequest, CreateTasksRequest, NewTask, Quota, admin_service_client::AdminServiceClient,
    create_tasks_result,
};
use taskyard_tasks::setup::{NewAccount, create_user};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, SOON, manual, read};
use tonic::transport::Channel;

use crate::{
    people::code,
    setup::{Accounts, PASSWORD, Person, person, shown},
};

const ROOT: &str = "root@example.com";

/// Signed in as the administrator, in a namespace.
async fn admin(accounts: &Accounts, namespace: &str) -> Result<Person> {
    let account = NewAccount { email: ROOT.into(), password: PASSWORD.into(), is_admin: true };
    create_user(accounts.stack.sandbox.database_url(), account).await?;
    let signed_in = accounts.sign_in(ROOT, PASSWORD, namespace).await?;
    person(signed_in.user, signed_in.tokens)
}

fn service(accounts: &Accounts) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(accounts.channel.clone())
}

async fn set_quota(accounts: &Accounts, token: &str, name: &str, quota: Quota) -> Answer<()> {
    let request = v1::SetNamespaceQuotaRequest { name: name.into(), quota: Some(quota) };
    read(service(accounts).set_namespace_quota(shown(token, request)).await).map(drop)
}

#[tokio::test]
async fn a_namespace_has_no_more_than_its_quota() -> Result<()> {
    let accounts = Accounts::open().await?;
    let root = admin(&accounts, "").await?;
    let (ada, eve) = (accounts.register("ada@example.com").await?, accounts.register("eve@example.com").await?);
    let few = Quota { active_tasks_max: Some(5), queues_max: Some(2), ..Quota::default() };
    set_quota(&accounts, &root.access, &ada.namespace, few).await?;

    // Each of a batch is answered for itself.
    let batch = CreateTasksRequest { tasks: (0..7).map(|_| manual()).collect() };
    let answer = accounts.tasks().create_tasks(shown(&ada.access, batch)).await?.into_inner();
    let mut created = Vec::new();
    let mut refused = Vec::new();
    for result in answer.results {
        match result.result.context("an answer")? {
            create_tasks_result::Result::Created(task) => created.push(task.id),
            create_tasks_result::Result::Error(error) => refused.push(error.code),
        }
    }
    assert_eq!((created.len(), refused), (5, vec!["EXHAUSTED".to_owned(); 2]));
    let error = accounts.create(&ada.access, manual()).await.expect_err("a sixth one");
    assert_eq!(error.code, ErrorCode::Exhausted);
    assert!(error.message.contains("5 waiting and running tasks"), "{error}");
    assert!(error.retry_after.is_some());
    accounts.create(&eve.access, manual()).await?;

    for id in &created[..2] {
        let cancel = CancelTaskRequest { id: id.clone(), ..CancelTaskRequest::default() };
        accounts.tasks().cancel_task(shown(&ada.access, cancel)).await?;
    }
    eventually(SOON * 2, "there is room again", async || accounts.create(&ada.access, manual()).await.ok()).await?;
    accounts.create(&ada.access, manual()).await?;
    assert_eq!(code(accounts.create(&ada.access, manual()).await), ErrorCode::Exhausted);

    // Queues and bytes.
    let zoe = accounts.register("zoe@example.com").await?;
    let none = Quota { queues_max: Some(2), payload_bytes_max: Some(1_000), ..Quota::default() };
    set_quota(&accounts, &root.access, &zoe.namespace, none).await?;
    let large = || NewTask { payload: format!("\"{}\"", "x".repeat(600)).into(), ..manual() };
    accounts.create(&zoe.access, large()).await?;
    let error = accounts.create(&zoe.access, large()).await.expect_err("1,204 bytes");
    assert!(error.message.contains("1000 bytes of payload"), "{error}");
    let queued = |queue: &str| NewTask { queue: queue.into(), ..manual() };
    accounts.create(&zoe.access, queued("second")).await?;
    assert_eq!(code(accounts.create(&zoe.access, queued("third")).await), ErrorCode::Exhausted);

    let wrong = Quota { queues_max: Some(1_000_000), ..Quota::default() };
    assert_eq!(code(set_quota(&accounts, &root.access, &ada.namespace, wrong).await), ErrorCode::InvalidInput);
    let nowhere = set_quota(&accounts, &root.access, "nowhere", Quota::default()).await;
    assert_eq!(code(nowhere), ErrorCode::NamespaceNotFound);
    accounts.close().await
}

#[tokio::test]
async fn what_administrators_do_is_written_down() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let task = accounts.create(&ada.access, manual()).await?;
    let root = admin(&accounts, &ada.namespace).await?;

    // They look and do nothing else.
    assert_eq!(accounts.get(&root.access, &task.id).await?.id, task.id);
    assert_eq!(code(accounts.create(&root.access, manual()).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.key(&root.access, &["tasks:read"], &[]).await), ErrorCode::Forbidden);
    assert_eq!(code(accounts.sign_in(ROOT, PASSWORD, "nowhere").await), ErrorCode::NamespaceNotFound);

    let mut service = service(&accounts);
    let all = service.list_all_namespaces(shown(&root.access, v1::ListAllNamespacesRequest::default())).await?;
    let all = all.into_inner().namespaces;
    let own = all.iter().find(|it| it.name == ada.namespace).context("ada's")?;
    assert_eq!((own.owner.as_str(), own.members, own.active_tasks, own.queues), ("ada@example.com", 1, 1, 1));
    let page = v1::ListAllNamespacesRequest { page_size: 1, page_token: all[0].name.clone(), ..Default::default() };
    let page = service.list_all_namespaces(shown(&root.access, page)).await?.into_inner();
    assert_eq!(page.namespaces[0].name, all[1].name);
    let quota = Quota { queues_max: Some(7), ..Quota::default() };
    set_quota(&accounts, &root.access, &ada.namespace, quota).await?;
    let users = service.list_users(shown(&root.access, v1::ListUsersRequest::default())).await?.into_inner().users;
    assert_eq!(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>(), ["ada@example.com", ROOT]);
    let shut_out = v1::SetUserDisabledRequest { user_id: root.id.clone(), disabled: true };
    assert_eq!(code(read(service.set_user_disabled(shown(&root.access, shut_out)).await)), ErrorCode::Forbidden);
    let (_, hers) = accounts.key(&ada.access, &["tasks:read"], &[]).await?;
    let disable = |disabled| v1::SetUserDisabledRequest { user_id: ada.id.clone(), disabled };
    service.set_user_disabled(shown(&root.access, disable(true))).await?;
    eventually(SOON, "it has ended", async || accounts.who_am_i(&ada.access).await.err().map(drop)).await?;
    eventually(SOON, "her key as well", async || accounts.who_am_i(&hers).await.err().map(drop)).await?;
    let refused = accounts.sign_in("ada@example.com", PASSWORD, "").await;
    assert_eq!(code(refused), ErrorCode::Unauthenticated);
    service.set_user_disabled(shown(&root.access, disable(false))).await?;
    accounts.sign_in("ada@example.com", PASSWORD, "").await?;

    let audit = service.list_audit_entries(shown(&root.access, v1::ListAuditEntriesRequest::default())).await?;
    let entries = audit.into_inner().entries;
    let told: Vec<_> = entries.iter().map(|it| (it.action.as_str(), it.subject.as_str(), it.detail.as_str())).collect();
    let expected = [
        ("audit.list", "", ""),
        ("user.enable", "ada@example.com", ""),
        ("user.disable", "ada@example.com", ""),
        ("users.list", "", ""),
        ("namespace.quota", ada.namespace.as_str(), "7 queues"),
        ("namespaces.list", "", ""),
        ("namespaces.list", "", ""),
        ("namespace.enter", ada.namespace.as_str(), ""),
    ];
    assert_eq!(told, expected);
    assert!(entries.iter().all(|entry| entry.email == ROOT && entry.time.is_some()));
    let older = v1::ListAuditEntriesRequest { page_size: 2, page_token: entries[1].number.to_string() };
    let older = service.list_audit_entries(shown(&root.access, older)).await?.into_inner();
    assert_eq!(older.entries.iter().map(|it| it.number).collect::<Vec<_>>(), [entries[2].number, entries[3].number]);

    // One that is looked up is named.
    let ada_alone = v1::ListUsersRequest { email: "Ada@example.com".into(), ..Default::default() };
    let found = service.list_users(shown(&root.access, ada_alone)).await?.into_inner().users;
    assert_eq!(found.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), [ada.id.as_str()]);
    let one = v1::ListAllNamespacesRequest { name: ada.namespace.clone(), ..Default::default() };
    assert_eq!(service.list_all_namespaces(shown(&root.access, one)).await?.into_inner().namespaces.len(), 1);
    let newest = v1::ListAuditEntriesRequest { page_size: 3, ..Default::default() };
    let newest = service.list_audit_entries(shown(&root.access, newest)).await?.into_inner().entries;
    let newest: Vec<_> = newest.iter().map(|it| (it.action.as_str(), it.subject.as_str())).collect();
    let looked_up = [("namespaces.list", ada.namespace.as_str()), ("users.list", "ada@example.com")];
    assert_eq!(newest[1..], looked_up);

    // Nobody else, whatever their role in a namespace.
    let key = accounts.key(&ada.access, &["admin"], &[]).await;
    let again = accounts.sign_in("ada@example.com", PASSWORD, "").await?.tokens.unwrap_or_default().access_token;
    assert!(key.is_err(), "her old token is of a sign-in that has ended");
    let (_, key) = accounts.key(&again, &["admin"], &[]).await?;
    for token in [&again, &key] {
        let request = shown(token, v1::ListAuditEntriesRequest::default());
        assert_eq!(code(read(service.list_audit_entries(request).await)), ErrorCode::Forbidden);
    }
    accounts.close().await
}

#[tokio::test]
async fn administrators_make_administrators_and_one_stays() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let root = admin(&accounts, "").await?;
    let set = async |doer: &Person, user: &Person, is_site_admin| {
        let request = v1::SetUserAdminRequest { user_id: user.id.clone(), is_site_admin };
        read(service(&accounts).set_user_admin(shown(&doer.access, request)).await)
    };
    let may = async |user: &Person| {
        let request = shown(&user.access, v1::ListAuditEntriesRequest::default());
        read(service(&accounts).list_audit_entries(request).await).is_ok()
    };
    assert_eq!(code(set(&ada, &ada, true).await), ErrorCode::Forbidden);
    set(&root, &ada, true).await?;
    eventually(SOON, "ada is one", async || may(&ada).await.then_some(())).await?;
    assert_eq!(code(set(&root, &root, false).await), ErrorCode::Forbidden, "nobody does it to themselves");
    let (one, other) = tokio::join!(set(&root, &ada, false), set(&ada, &root, false));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(accounts.stack.number("select count(*) from tasks.users where is_admin").await?, 1);
    let (stays, leaves) = if one.is_ok() { (&root, &ada) } else { (&ada, &root) };
    eventually(SOON, "the other one is none", async || (!may(leaves).await).then_some(())).await?;
    assert!(may(stays).await);
    let noted = "select count(*) from tasks.audit where action in ('user.make_admin', 'user.unmake_admin')";
    assert_eq!(accounts.stack.number(noted).await?, 2, "what was refused was not done");

    // The same of those who shut each other out.
    set(stays, leaves, true).await?;
    eventually(SOON, "both are", async || may(leaves).await.then_some(())).await?;
    let shut_out = async |doer: &Person, user: &Person| {
        let request = v1::SetUserDisabledRequest { user_id: user.id.clone(), disabled: true };
        read(service(&accounts).set_user_disabled(shown(&doer.access, request)).await)
    };
    let (one, other) = tokio::join!(shut_out(&root, &ada), shut_out(&ada, &root));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(accounts.stack.number("select count(*) from tasks.users where is_disabled").await?, 1);
    accounts.close().await
}

/// Who was a member when the token was made looks on as an administrator only by one that is written down.
#[tokio::test]
async fn no_administrator_looks_on_after_having_been_a_member() -> Result<()> {
    let accounts = Accounts::open().await?;
    let ada = accounts.register("ada@example.com").await?;
    let root = admin(&accounts, "").await?;
    let mut namespaces = accounts.namespaces();
    namespaces.create_namespace(shown(&ada.access, v1::CreateNamespaceRequest { name: "team".into() })).await?;
    let role = v1::Role::Viewer.into();
    let invite = v1::CreateInvitationRequest { namespace: "team".into(), email: ROOT.into(), role };
    let secret = namespaces.create_invitation(shown(&ada.access, invite)).await?.into_inner().secret;
    namespaces.accept_invitation(shown(&root.access, v1::AcceptInvitationRequest { secret })).await?;
    let member = accounts.refresh(&root.refresh, "team").await?;
    assert_eq!(accounts.who_am_i(&member.access_token).await?.namespace, "team");
    let entered = "select count(*) from tasks.audit where action = 'namespace.enter' and subject = 'team'";
    assert_eq!(accounts.stack.number(entered).await?, 0, "a member needs not to be written down");

    let remove = v1::RemoveMemberRequest { namespace: "team".into(), user_id: root.id.clone() };
    namespaces.remove_member(shown(&ada.access, remove)).await?;
    assert_eq!(code(accounts.who_am_i(&member.access_token).await), ErrorCode::Unauthenticated);
    let looks = accounts.refresh(&member.refresh_token, "team").await?;
    assert_eq!(accounts.who_am_i(&looks.access_token).await?.scopes, ["tasks:read"]);
    assert_eq!(accounts.stack.number(entered).await?, 1);
    accounts.close().await
}
