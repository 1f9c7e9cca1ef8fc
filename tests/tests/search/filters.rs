//! Filters of searches, lists by label and creator, and what belongs to others.

use std::time::Duration;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use taskyard_proto::v1::{
    ListTasksRequest, NewTask, SearchTasksRequest, Task, TaskFilter, TaskOrder, TaskState, TaskUpdate,
};
use taskyard_tests::{Setup, read, timestamp};

use super::{found, found_with, indexed, labeled, search, titled, titles_of, with};

fn labels(labels: &[(&str, &str)]) -> TaskFilter {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TaskFilter { labels, ..TaskFilter::default() }
}

async fn list(setup: &Setup, filter: TaskFilter, order: TaskOrder) -> Result<Vec<String>> {
    let mut titles = Vec::new();
    let mut request =
        ListTasksRequest { filter: Some(filter), order: order.into(), page_size: 2, ..Default::default() };
    loop {
        let page = read(setup.tasks.clone().list_tasks(request.clone()).await)?;
        titles.extend(page.tasks.into_iter().map(|task: Task| task.title));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(titles);
        }
    }
}

#[tokio::test]
async fn searches_take_the_filters_of_lists() -> Result<()> {
    let setup = with(vec![
        NewTask { queue: "a".into(), ..titled("pump one", "") },
        NewTask { queue: "b".into(), ..titled("pump two", "") },
        labeled("pump three", &[("team", "growth"), ("it's", "a\\b")]),
        NewTask { kind: "other".into(), ..titled("pump four", "") },
    ])
    .await?;
    let one = found(&setup, "pump one ").await?.hits[0].task.clone().unwrap_or_default();
    setup.complete(&one.id, "").await?;
    // States are those of this moment.
    let states = |states: &[TaskState]| TaskFilter {
        states: states.iter().map(|state| (*state).into()).collect(),
        ..TaskFilter::default()
    };
    let completed = found_with(&setup, "pump ", states(&[TaskState::Completed])).await?;
    assert_eq!(completed, ["pump one"]);
    let waiting = found_with(&setup, "pump ", states(&[TaskState::Open, TaskState::Ready])).await?;
    assert_eq!(waiting, ["pump four", "pump three", "pump two"]);
    let hour_ago = timestamp(Utc::now() - TimeDelta::hours(1));
    for (filter, expected) in [
        (TaskFilter { queue: "b".into(), ..Default::default() }, vec!["pump two"]),
        (TaskFilter { kind: "other".into(), ..Default::default() }, vec!["pump four"]),
        (labels(&[("team", "growth")]), vec!["pump three"]),
        (labels(&[("team", "growth"), ("it's", "a\\b")]), vec!["pump three"]),
        (labels(&[("team", "growth"), ("it's", "b")]), vec![]),
        (labels(&[("tea", "mgrowth")]), vec![]),
        (TaskFilter { creator: "nobody".into(), ..Default::default() }, vec![]),
        (TaskFilter { created_before: hour_ago, ..Default::default() }, vec![]),
        (TaskFilter { finished_after: hour_ago, ..Default::default() }, vec!["pump one"]),
        (TaskFilter { finished_before: hour_ago, ..Default::default() }, vec![]),
    ] {
        assert_eq!(found_with(&setup, "pump ", filter.clone()).await?, expected, "{filter:?}");
    }
    let after = TaskFilter { created_after: hour_ago, ..Default::default() };
    assert_eq!(found_with(&setup, "pump ", after).await?.len(), 4);
    setup.close().await
}

#[tokio::test]
async fn lists_go_by_labels_and_creator() -> Result<()> {
    let setup = with(vec![
        labeled("one", &[("team", "growth"), ("tier", "gold")]),
        labeled("two", &[("team", "growth")]),
        labeled("three", &[("team", "other"), ("tier", "gold")]),
        labeled("four", &[("team:growth", "x")]),
        titled("five", ""),
        labeled("six", &[("team", "growth"), ("tier", "gold")]),
    ])
    .await?;
    sqlx::raw_sql("update tasks.documents set creator = 'ann' where title in ('two', 'five', 'six')")
        .execute(&setup.stack.pool)
        .await?;
    let six = found(&setup, "six ").await?.hits[0].task.clone().unwrap_or_default();
    for title in ["two", "five", "six"] {
        let task = found(&setup, &format!("{title} ")).await?.hits[0].task.clone().unwrap_or_default();
        setup.update(&task.id, "title", TaskUpdate { title: title.into(), ..Default::default() }, 0).await?;
    }
    indexed(&setup).await?;
    let ann = |filter: TaskFilter| TaskFilter { creator: "ann".into(), ..filter };
    for (filter, expected) in [
        (labels(&[("team", "growth")]), vec!["six", "two", "one"]),
        (labels(&[("team", "growth"), ("tier", "gold")]), vec!["six", "one"]),
        (labels(&[("team", "")]), vec![]),
        (labels(&[("team:growth", "x")]), vec!["four"]),
        (ann(TaskFilter::default()), vec!["six", "five", "two"]),
        (ann(labels(&[("tier", "gold")])), vec!["six"]),
    ] {
        assert_eq!(list(&setup, filter.clone(), TaskOrder::CreatedDesc).await?, expected, "{filter:?}");
        let mut oldest_first = expected;
        oldest_first.reverse();
        assert_eq!(list(&setup, filter.clone(), TaskOrder::CreatedAsc).await?, oldest_first, "{filter:?}");
    }
    // The state is that of the task's own row, at once, whatever the index knows.
    setup.complete(&six.id, "").await?;
    let completed = TaskFilter { states: vec![TaskState::Completed.into()], ..labels(&[("tier", "gold")]) };
    assert_eq!(list(&setup, completed.clone(), TaskOrder::CreatedDesc).await?, ["six"]);
    assert_eq!(list(&setup, completed, TaskOrder::FinishedAsc).await?, ["six"]);
    let open = TaskFilter { states: vec![TaskState::Open.into()], ..labels(&[("tier", "gold")]) };
    assert_eq!(list(&setup, open, TaskOrder::CreatedDesc).await?, ["three", "one"]);
    // What a task has no more is not listed although the index may say so yet, and is gone from it soon.
    let new = TaskUpdate { labels: [("tier".to_owned(), "silver".to_owned())].into(), ..Default::default() };
    setup.update(&six.id, "labels", new, 0).await?;
    assert!(!list(&setup, labels(&[("team", "growth")]), TaskOrder::CreatedDesc).await?.contains(&"six".to_owned()));
    indexed(&setup).await?;
    assert_eq!(list(&setup, labels(&[("tier", "silver")]), TaskOrder::CreatedDesc).await?, ["six"]);
    let left = setup.stack.number("select count(*) from tasks.search_labels where value = 'gold'").await?;
    assert_eq!(left, 2);
    setup.close().await
}

/// Another namespace has tasks of the same ids, words and labels.
#[tokio::test]
async fn another_namespaces_tasks_are_never_found() -> Result<()> {
    let setup =
        with(vec![labeled("pump mine", &[("team", "growth")]), labeled("pump mine too", &[("team", "growth")])])
            .await?;
    let copy = "
        insert into tasks.namespaces (name) values ('other');
        insert into tasks.documents
        select (jsonb_populate_record(null::tasks.documents, to_jsonb(d) || jsonb_build_object('namespace', 2, 'title', 'pump theirs secretword', 'creator', 'them'))).*
        from tasks.documents d;
        insert into tasks.active select (jsonb_populate_record(null::tasks.active, to_jsonb(a) || jsonb_build_object('namespace', 2))).* from tasks.active a;
        insert into tasks.documents
        select (jsonb_populate_record(null::tasks.documents, to_jsonb(d) || jsonb_build_object('id', uuidv7(), 'title', 'pump foreign'))).*
        from tasks.documents d where namespace = 2;
        insert into tasks.active
        select (jsonb_populate_record(null::tasks.active, to_jsonb(a) || jsonb_build_object('id', d.id))).*
        from tasks.documents d, (select * from tasks.active where namespace = 2 limit 1) a where d.title = 'pump foreign';
        insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, to_state, attempt, returns, queue, kind)
        select now(), pg_current_xact_id()::text::bigint, 2, (select max(epoch) from tasks.epochs), id, 1, 0, 1, 1, 0, 0, queue, kind
        from tasks.documents where namespace = 2";
    sqlx::raw_sql(copy).execute(&setup.stack.pool).await?;
    setup.create(titled("something else", "")).await?;
    indexed(&setup).await?;
    let theirs = setup.stack.number("select count(*) from tasks.search where namespace = 2").await?;
    assert_eq!(theirs, 4, "theirs are indexed");
    let mine = ["pump mine too", "pump mine"];
    for query in ["pump ", "pump", "pum", "pomp ", "\"pump\"", "pump -theirs ", "pump or secretword "] {
        let mut titles = titles_of(&setup, query).await?;
        titles.sort_by_key(|title| std::cmp::Reverse(title.len()));
        assert_eq!(titles, mine, "{query}");
    }
    for query in ["secretword ", "secret", "secretwrod ", "foreign ", "-pump -something "] {
        let answer = found(&setup, query).await?;
        assert!(answer.hits.is_empty() && answer.corrected_query.is_empty(), "{query}: {answer:?}");
    }
    assert_eq!(list(&setup, labels(&[("team", "growth")]), TaskOrder::CreatedDesc).await?, mine);
    assert!(
        list(&setup, TaskFilter { creator: "them".into(), ..Default::default() }, TaskOrder::CreatedDesc)
            .await?
            .is_empty()
    );

    // Theirs are deleted, mine stay.
    let delete = "
        update tasks.documents set is_deleted = true, title = '' where namespace = 2;
        delete from tasks.active where namespace = 2;
        insert into tasks.events (at, xact, namespace, epoch, task_id, version, run, type, attempt, returns, queue, kind)
        select now(), pg_current_xact_id()::text::bigint, 2, (select max(epoch) from tasks.epochs), id, 2, 0, 10, 0, 0, queue, kind
        from tasks.documents where namespace = 2";
    sqlx::raw_sql(delete).execute(&setup.stack.pool).await?;
    setup.create(titled("one more", "")).await?;
    indexed(&setup).await?;
    assert_eq!(setup.stack.number("select count(*) from tasks.search where namespace = 2").await?, 0);
    assert_eq!(setup.stack.number("select count(*) from tasks.search_labels where namespace = 2").await?, 0);
    assert_eq!(titles_of(&setup, "pump ").await?.len(), 2);
    assert_eq!(list(&setup, labels(&[("team", "growth")]), TaskOrder::CreatedDesc).await?, mine);
    setup.close().await
}

#[tokio::test]
async fn until_the_index_is_whole_nothing_seems_to_be_missing() -> Result<()> {
    let setup = with(vec![labeled("pump", &[("team", "growth")])]).await?;
    // As after an upgrade, with no leader to fill the index.
    let pool = setup.stack.pool.clone();
    let url = setup.pod.url();
    let mut frozen = pool.begin().await?;
    sqlx::raw_sql("update tasks.search_reader set is_whole = false").execute(&pool).await?;
    sqlx::raw_sql("select * from tasks.search_reader for update").execute(&mut *frozen).await?;
    let request = SearchTasksRequest { query: "pump".into(), ..Default::default() };
    let error = search(&setup, request.clone()).await.expect_err("it is not whole");
    assert_eq!(error.code, taskyard_core::ErrorCode::Unavailable, "{error} ({url})");
    let by_label = ListTasksRequest { filter: Some(labels(&[("team", "growth")])), ..Default::default() };
    assert!(read(setup.tasks.clone().list_tasks(by_label.clone()).await).is_err());
    assert!(read(setup.tasks.clone().list_tasks(ListTasksRequest::default()).await).is_ok());
    frozen.rollback().await?;
    sqlx::raw_sql("update tasks.search_reader set is_whole = true").execute(&pool).await?;
    assert_eq!(search(&setup, request).await?.hits.len(), 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    setup.close().await
}
