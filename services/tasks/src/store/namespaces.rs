//! Namespaces, their members and invitations.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskyard_core::{identity::Role, task::Namespace as Number};
use uuid::Uuid;

/// A namespace, as one of its members sees it.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub id: Number,
    pub name: String,
    pub is_personal: bool,
    pub role: i16,
    pub is_owner: bool,
    pub created_at: DateTime<Utc>,
    pub deleting_since: Option<DateTime<Utc>>,
}

/// What became of a new namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceCreated {
    New,
    /// The name is taken.
    Taken,
    /// The user owns as many as one may.
    TooMany,
}

/// Makes a shared namespace.
pub async fn namespace_create(
    pool: &PgPool,
    name: &str,
    owner: Uuid,
    owned_max: i64,
) -> Result<NamespaceCreated, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with owner as materialized (
            -- One at a time: two at once would each find room for one more.
            select id from tasks.users where id = $2 for no key update
        ),
        room as materialized (
            select id from owner where tasks.namespaces_owned(id) < $4
        ),
        made as (
            insert into tasks.namespaces (name, owner) select $1, id from room on conflict do nothing returning id
        ),
        member as (
            insert into tasks.members (namespace, user_id, role) select id, $2, $3 from made
        )
        select exists (select from made) as "is_made!", exists (select from room) as "has_room!"
        "#,
        name,
        owner,
        Role::Admin.number(),
        owned_max,
    )
    .fetch_one(pool)
    .await?;
    Ok(match (row.is_made, row.has_room) {
        (true, _) => NamespaceCreated::New,
        (false, true) => NamespaceCreated::Taken,
        (false, false) => NamespaceCreated::TooMany,
    })
}

/// Gives a namespace that is nobody's an owner.
pub async fn namespace_adopt(pool: &PgPool, id: Number, owner: Uuid) -> Result<bool, sqlx::Error> {
    let adopted = sqlx::query_scalar!(
        r#"
        with adopted as (
            update tasks.namespaces set owner = $2 where id = $1 and owner is null returning id
        )
        insert into tasks.members (namespace, user_id, role) select id, $2, $3 from adopted
        on conflict (namespace, user_id) do update set role = excluded.role
        returning namespace
        "#,
        id,
        owner,
        Role::Admin.number(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(adopted.is_some())
}

/// Namespaces of a member, by name, after one; or the one of a name.
pub async fn namespace_list(
    pool: &PgPool,
    member: Uuid,
    after: &str,
    one: Option<&str>,
    rows_max: i64,
) -> Result<Vec<Namespace>, sqlx::Error> {
    sqlx::query_as!(
        Namespace,
        r#"
        select
            n.id, n.name, n.is_personal, m.role, n.owner = $1 is true as "is_owner!", n.created_at, n.deleting_since
        from tasks.members m
        join tasks.namespaces n on n.id = m.namespace
        where m.user_id = $1 and n.name > $2 and ($3::text is null or n.name = $3)
        order by n.name
        limit $4
        "#,
        member,
        after,
        one,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// A namespace's name.
pub async fn namespace_name(pool: &PgPool, id: Number) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from tasks.namespaces where id = $1", id).fetch_optional(pool).await
}

/// The namespace with this name.
pub async fn namespace_number(pool: &PgPool, name: &str) -> Result<Option<Number>, sqlx::Error> {
    sqlx::query_scalar!("select id from tasks.namespaces where name = $1", name).fetch_optional(pool).await
}

/// The tasks that a namespace has, at most so many.
pub async fn namespace_count_tasks(pool: &PgPool, id: Number, count_max: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from (select from tasks.documents where namespace = $1 limit $2) counted
        "#,
        id,
        count_max,
    )
    .fetch_one(pool)
    .await
}

/// Makes another member the owner. Returns false if that is no member, or the caller is not the owner.
pub async fn namespace_set_owner(pool: &PgPool, id: Number, from: Uuid, to: Uuid) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        r#"
        with owned as materialized (
            select id from tasks.namespaces
            where id = $1 and owner = $2 and not is_personal and deleting_since is null
            for no key update
        ),
        member as (
            update tasks.members m set role = $4 from owned
            where m.namespace = owned.id and m.user_id = $3
            returning m.namespace
        )
        update tasks.namespaces n set owner = $3 from member where n.id = member.namespace
        "#,
        id,
        from,
        to,
        Role::Admin.number(),
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a namespace for deletion: nobody gets in any more. Returns the revision; none if the caller is not the owner.
pub async fn namespace_begin_deletion(pool: &PgPool, id: Number, owner: Uuid) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with begun as (
            update tasks.namespaces set deleting_since = coalesce(deleting_since, now())
            where id = $1 and owner = $2 and not is_personal
            returning id
        )
        update tasks.identity_revision set revision = revision + 1
        where exists (select from begun)
        returning revision
        "#,
        id,
        owner,
    )
    .fetch_optional(pool)
    .await
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    pub user: Uuid,
    pub email: String,
    pub name: String,
    pub role: i16,
    pub is_owner: bool,
    pub since: DateTime<Utc>,
}

/// Members of a namespace, by address, after one; or a single one.
pub async fn member_list(
    pool: &PgPool,
    namespace: Number,
    after: &str,
    one: Option<Uuid>,
    rows_max: i64,
) -> Result<Vec<Member>, sqlx::Error> {
    sqlx::query_as!(
        Member,
        r#"
        select u.id as "user!", u.email, u.name, m.role, n.owner = u.id is true as "is_owner!", m.since
        from tasks.members m
        join tasks.users u on u.id = m.user_id
        join tasks.namespaces n on n.id = m.namespace
        where m.namespace = $1 and u.email > $2 and ($3::uuid is null or u.id = $3)
        order by u.email
        limit $4
        "#,
        namespace,
        after,
        one,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// Gives a member another role. Returns the revision; none if there is no such member, or it is the owner.
pub async fn member_set_role(
    pool: &PgPool,
    namespace: Number,
    user: Uuid,
    role: Role,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with place as materialized (
            -- Who becomes the owner at this moment stays admin.
            select id from tasks.namespaces where id = $1 and owner is distinct from $2 for no key update
        ),
        changed as (
            update tasks.members m set role = $3 from place
            where m.namespace = place.id and m.user_id = $2
            returning m.user_id
        )
        update tasks.identity_revision set revision = revision + 1
        where exists (select from changed)
        returning revision
        "#,
        namespace,
        user,
        role.number(),
    )
    .fetch_optional(pool)
    .await
}

/// Takes a member out. Returns the revision; none if there is no such member, or it is the owner.
pub async fn member_remove(pool: &PgPool, namespace: Number, user: Uuid) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with place as materialized (
            -- Who becomes the owner at this moment stays.
            select id from tasks.namespaces where id = $1 and owner is distinct from $2 for no key update
        ),
        removed as (
            delete from tasks.members m using place
            where m.namespace = place.id and m.user_id = $2
            returning m.user_id
        )
        update tasks.identity_revision set revision = revision + 1
        where exists (select from removed)
        returning revision
        "#,
        namespace,
        user,
    )
    .fetch_optional(pool)
    .await
}

/// An invitation.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub id: Uuid,
    pub email: String,
    pub role: i16,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// An invitation to be made.
#[derive(Clone, Debug)]
pub struct NewInvitation<'a> {
    pub id: Uuid,
    pub namespace: Number,
    pub email: &'a str,
    pub role: Role,
    pub secret_hash: &'a [u8],
    pub invited_by: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// Invites somebody, in the place of an earlier invitation. None: there are as many open ones as there may be.
pub async fn invitation_create(
    pool: &PgPool,
    new: &NewInvitation<'_>,
    open_max: i64,
) -> Result<Option<Invitation>, sqlx::Error> {
    sqlx::query_as!(
        Invitation,
        r#"
        insert into tasks.invitations as i (id, namespace, email, role, secret_hash, invited_by, expires_at)
        select $1, $2, $3, $4, $5, $6, $7
        where (select count(*) from tasks.invitations where namespace = $2) < $8
        on conflict (namespace, email) do update
            set id = excluded.id, role = excluded.role, secret_hash = excluded.secret_hash,
                invited_by = excluded.invited_by, created_at = now(), expires_at = excluded.expires_at
        returning id, email, role, created_at, expires_at
        "#,
        new.id,
        new.namespace,
        new.email,
        new.role.number(),
        new.secret_hash,
        new.invited_by,
        new.expires_at,
        open_max,
    )
    .fetch_optional(pool)
    .await
}

/// Open invitations of a namespace, by address.
pub async fn invitation_list(pool: &PgPool, namespace: Number, rows_max: i64) -> Result<Vec<Invitation>, sqlx::Error> {
    sqlx::query_as!(
        Invitation,
        r#"
        select id, email, role, created_at, expires_at
        from tasks.invitations
        where namespace = $1 and expires_at > now()
        order by email
        limit $2
        "#,
        namespace,
        rows_max,
    )
    .fetch_all(pool)
    .await
}

/// Takes an invitation back. False: there is none.
pub async fn invitation_delete(pool: &PgPool, namespace: Number, id: Uuid) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from tasks.invitations where namespace = $1 and id = $2", namespace, id)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a user a member by an invitation. Who is a member already keeps the higher role. Returns the namespace's name.
pub async fn invitation_accept(pool: &PgPool, secret_hash: &[u8], user: Uuid) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with accepted as (
            delete from tasks.invitations i
            using tasks.namespaces n
            where i.secret_hash = $1 and i.expires_at > now() and n.id = i.namespace and n.deleting_since is null
            returning i.namespace, i.role, n.name
        ),
        member as (
            insert into tasks.members as m (namespace, user_id, role)
            select namespace, $2, role from accepted
            on conflict (namespace, user_id) do update set role = greatest(m.role, excluded.role)
        )
        select name from accepted
        "#,
        secret_hash,
        user,
    )
    .fetch_optional(pool)
    .await
}

/// Forgets invitations that nobody accepted.
pub async fn invitation_forget_old(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from tasks.invitations where expires_at < now()").execute(pool).await?;
    Ok(())
}
