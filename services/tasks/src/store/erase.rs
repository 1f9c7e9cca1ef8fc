//! Deleting a namespace with everything in it, some rows at a time. Whatever is repeated does no harm, so no term is
//! asked for.

use sqlx::PgPool;
use taskyard_core::task::Namespace;
use uuid::Uuid;

/// The namespaces that are being deleted.
pub async fn namespace_list_deleting(pool: &PgPool) -> Result<Vec<Namespace>, sqlx::Error> {
    sqlx::query_scalar!("select id from tasks.namespaces where deleting_since is not null order by id")
        .fetch_all(pool)
        .await
}

/// A namespace's schedules: they make no more tasks.
pub async fn schedule_erase_all(pool: &PgPool, namespace: Namespace) -> Result<(), sqlx::Error> {
    for delete in [
        sqlx::query!("delete from tasks.schedule_states where namespace = $1", namespace),
        sqlx::query!(
            "delete from tasks.schedule_ticks where schedule in (select id from tasks.schedules where namespace = $1)",
            namespace
        ),
        sqlx::query!("delete from tasks.schedules where namespace = $1", namespace),
    ] {
        delete.execute(pool).await?;
    }
    Ok(())
}

/// Some of a namespace's tasks, with all that is known of them. Their documents go last, so that whatever is left when
/// a process dies is found again. Returns how many there were.
pub async fn task_erase_batch(pool: &PgPool, namespace: Namespace, rows_max: i64) -> Result<usize, sqlx::Error> {
    // Found first and deleted then: see `store.rs`.
    let ids: Vec<Uuid> =
        sqlx::query_scalar!("select id from tasks.documents where namespace = $1 limit $2", namespace, rows_max)
            .fetch_all(pool)
            .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    // In the order in which all our statements lock rows.
    sqlx::query!(
        r#"
        with picked as materialized (
            select id from tasks.active where namespace = $1 and id = any ($2) order by id for update
        )
        delete from tasks.active a using picked p where a.namespace = $1 and a.id = p.id
        "#,
        namespace,
        &ids,
    )
    .execute(pool)
    .await?;
    for delete in [
        sqlx::query!("delete from tasks.finished where namespace = $1 and id = any ($2)", namespace, &ids),
        sqlx::query!("delete from tasks.search where namespace = $1 and id = any ($2)", namespace, &ids),
        sqlx::query!("delete from tasks.search_labels where namespace = $1 and id = any ($2)", namespace, &ids),
        sqlx::query!("delete from tasks.events where namespace = $1 and task_id = any ($2)", namespace, &ids),
        sqlx::query!("delete from tasks.documents where namespace = $1 and id = any ($2)", namespace, &ids),
    ] {
        delete.execute(pool).await?;
    }
    Ok(ids.len())
}

/// What a namespace has beside its tasks, once those are gone; at last itself, whose name is free then. Those rows
/// are few: all have limits.
pub async fn namespace_erase(pool: &PgPool, namespace: Namespace) -> Result<(), sqlx::Error> {
    for delete in [
        sqlx::query!("delete from tasks.idempotency_keys where namespace = $1", namespace),
        sqlx::query!("delete from tasks.queues where namespace = $1", namespace),
        sqlx::query!("delete from tasks.sessions where namespace = $1", namespace),
        sqlx::query!("delete from tasks.search_dictionary where namespace = $1", namespace),
        sqlx::query!("delete from tasks.search_parked where namespace = $1", namespace),
        sqlx::query!("delete from tasks.search_namespaces where namespace = $1", namespace),
        sqlx::query!("delete from tasks.keys where namespace = $1", namespace),
        sqlx::query!("delete from tasks.invitations where namespace = $1", namespace),
        sqlx::query!("delete from tasks.members where namespace = $1", namespace),
        sqlx::query!("delete from tasks.namespaces where id = $1 and deleting_since is not null", namespace),
    ] {
        delete.execute(pool).await?;
    }
    Ok(())
}
