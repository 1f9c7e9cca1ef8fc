//! Pages of a search: every match once, whatever the size, and at about the same cost.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;
use taskyard_proto::v1::{SearchTasksRequest, TaskFilter, TaskState, TaskUpdate};
use taskyard_tests::Setup;

use super::{indexed, indexed_within, search, titled, with};

/// All pages of a search.
async fn pages(setup: &Setup, query: &str, filter: TaskFilter, page_size: u32) -> Result<Vec<Vec<String>>> {
    let mut pages = Vec::new();
    let mut request =
        SearchTasksRequest { query: query.to_owned(), filter: Some(filter), page_size, ..Default::default() };
    loop {
        let page = search(setup, request.clone()).await?;
        anyhow::ensure!(page.hits.len() <= page_size as usize);
        pages.push(page.hits.into_iter().map(|hit| hit.task.unwrap_or_default().id).collect());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(pages);
        }
    }
}

/// Inserts finished tasks as if they had run in the last days, with their events.
async fn insert_many(setup: &Setup, count: u32, title: &str) -> Result<()> {
    let sql = format!(
        "with new as materialized (
            select uuidv7(interval '-1 second' * ({count} - n)) as id, n from generate_series(1, {count}) n
        ), document as (
            insert into tasks.documents (namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms,
                attempts_max, fingerprint, queue, kind, creator, title, description, labels, payload)
            select 1, id, uuid_extract_timestamp(id), 3600000, 1000, 3600000, 10, id, 'default', 'noop', '',
                {title}, '', '{{}}', '{{}}'
            from new
        ), finished as (
            insert into tasks.finished (namespace, id, xact, due_at, started_at, finished_at, version, run,
                payload_bytes, state, priority, attempt, queue, kind, result)
            select 1, id, 1, uuid_extract_timestamp(id), uuid_extract_timestamp(id), uuid_extract_timestamp(id), 1,
                1, 2, case when n % 1000 = 0 then 6 else 5 end, 5, 0, 'default', 'noop', 'null'
            from new
        )
        insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, from_state, to_state,
            attempt, returns, queue, kind)
        select now(), pg_current_xact_id()::text::bigint, 1, (select max(epoch) from tasks.epochs), id, 1,
            0, 1, null, 5, 0, 0, 'default', 'noop'
        from new order by n"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&setup.stack.pool).await?;
    indexed_within(&setup.stack.pool, Duration::from_secs(120)).await
}

#[tokio::test]
async fn pages_have_every_match_once() -> Result<()> {
    let setup = with((0..57).map(|n| titled(&format!("pump {}", "x ".repeat(n % 5)), "pump pump")).collect()).await?;
    let whole = pages(&setup, "pump ", TaskFilter::default(), 100).await?.concat();
    assert_eq!(whole.len(), 57);
    assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 57);
    for size in [1, 2, 7, 19, 57, 58] {
        assert_eq!(pages(&setup, "pump ", TaskFilter::default(), size).await?.concat(), whole, "pages of {size}");
    }
    setup.close().await
}

#[tokio::test]
async fn pages_go_on_while_tasks_come_and_go() -> Result<()> {
    let setup = with((0..40).map(|n| titled(&format!("pump {n}"), "")).collect()).await?;
    let expected = pages(&setup, "pump ", TaskFilter::default(), 100).await?.concat();
    let mut request = SearchTasksRequest { query: "pump ".into(), page_size: 7, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = search(&setup, request.clone()).await?;
        seen.extend(page.hits.into_iter().map(|hit| hit.task.unwrap_or_default().id));
        setup.create(titled("pump new", "")).await?;
        setup.delete(seen.last().context("some")?).await?;
        indexed(&setup).await?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected, "all that was there, once");
    setup.close().await
}

#[tokio::test]
async fn a_page_token_belongs_to_its_search() -> Result<()> {
    let setup = with((0..5).map(|n| titled(&format!("pump {n}"), "")).collect()).await?;
    let first = SearchTasksRequest { query: "pump".into(), page_size: 2, ..Default::default() };
    let token = search(&setup, first.clone()).await?.next_page_token;
    let queue = TaskFilter { queue: "default".into(), ..Default::default() };
    for wrong in [
        SearchTasksRequest { query: "pumps".into(), page_token: token.clone(), ..first.clone() },
        SearchTasksRequest { filter: Some(queue), page_token: token.clone(), ..first.clone() },
        SearchTasksRequest { page_token: format!("{token}0"), ..first.clone() },
        SearchTasksRequest { page_token: token[..token.len() - 9].to_owned(), ..first.clone() },
        SearchTasksRequest { page_token: "nonsense".into(), ..first.clone() },
    ] {
        let error = search(&setup, wrong.clone()).await.expect_err("it is refused");
        assert_eq!(error.violations[0].field, "page_token", "{wrong:?}: {error}");
    }
    let next = SearchTasksRequest { page_token: token, ..first };
    assert_eq!(search(&setup, next).await?.hits.len(), 2);
    setup.close().await
}

/// Every one of 30,000 tasks has the same word: the newest come first, in parts, and no page goes through all.
#[tokio::test]
async fn very_common_words_come_in_parts_the_newest_first() -> Result<()> {
    let setup = Setup::open().await?;
    insert_many(&setup, 30_000, "'common ' || case when n = 7 then 'rarity' else '' end").await?;
    let mut request = SearchTasksRequest { query: "common ".into(), page_size: 100, ..Default::default() };
    let first = search(&setup, request.clone()).await?;
    let newest: Vec<String> = sqlx::query_scalar("select id::text from tasks.documents order by id desc limit 100")
        .fetch_all(&setup.stack.pool)
        .await?;
    let hits: Vec<String> = first.hits.iter().map(|hit| hit.task.clone().unwrap_or_default().id).collect();
    assert_eq!(hits, newest, "of equals the newest");
    // All of them come, once.
    let mut seen: Vec<String> = hits;
    request.page_token = first.next_page_token;
    while !request.page_token.is_empty() {
        let page = search(&setup, request.clone()).await?;
        seen.extend(page.hits.into_iter().map(|hit| hit.task.unwrap_or_default().id));
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen.len(), 30_000);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 30_000);
    // The oldest of all parts is found at once if its word is rare, and what a filter lets through is found.
    let rare = SearchTasksRequest { query: "common rarity".into(), ..Default::default() };
    assert_eq!(search(&setup, rare).await?.hits.len(), 1);
    let dead = TaskFilter { states: vec![TaskState::Dead.into()], ..Default::default() };
    assert_eq!(pages(&setup, "common ", dead, 7).await?.concat().len(), 30);
    // One of the oldest that has changed is found by what it says now.
    let oldest: String = sqlx::query_scalar("select id::text from tasks.documents order by id limit 1")
        .fetch_one(&setup.stack.pool)
        .await?;
    setup
        .update(&oldest, "title", TaskUpdate { title: "common again revived".into(), ..Default::default() }, 0)
        .await?;
    indexed(&setup).await?;
    assert_eq!(super::titles_of(&setup, "common revived ").await?, ["common again revived"]);
    assert_eq!(super::titles_of(&setup, "common -rarity ").await?.len(), 100);
    setup.close().await
}
