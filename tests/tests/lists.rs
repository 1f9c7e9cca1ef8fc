//! ListTasks: exactly what a plain filter gives, in pages, at any size of the tables.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{PgPool, Row};
use taskyard_core::id;
use taskyard_proto::v1::{
    Failed, ListQueuesRequest, ListTasksRequest, NewTask, RetryPolicy, Task, TaskFilter, TaskOrder, TaskState,
    result::Outcome,
};
use taskyard_testkit::{Sandbox, Servers};
use taskyard_tests::{
    Answer, RawWorker, SOON, Setup, Stack, WorkerOptions, manual, new_task, read, retry_policy, seconds, time,
    timestamp,
};
use tokio::time::Instant;
use uuid::Uuid;

const QUEUES: [&str; 3] = ["a", "b", "default"];
const KINDS: [&str; 3] = ["x", "y", "manual"];
const ORDERS: [TaskOrder; 5] = [
    TaskOrder::Unspecified,
    TaskOrder::CreatedDesc,
    TaskOrder::CreatedAsc,
    TaskOrder::FinishedDesc,
    TaskOrder::FinishedAsc,
];
const STATES: [TaskState; 7] = [
    TaskState::Open,
    TaskState::Scheduled,
    TaskState::Ready,
    TaskState::Running,
    TaskState::Completed,
    TaskState::Dead,
    TaskState::Canceled,
];

const fn by_finish(order: TaskOrder) -> bool {
    matches!(order, TaskOrder::FinishedDesc | TaskOrder::FinishedAsc)
}

const fn is_finished(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Dead | TaskState::Canceled)
}

async fn list(setup: &Setup, request: ListTasksRequest) -> Answer<(Vec<Task>, String)> {
    let page = read(setup.tasks.clone().list_tasks(request).await)?;
    Ok((page.tasks, page.next_page_token))
}

/// All pages. The size of each page is drawn anew.
async fn list_all(setup: &Setup, filter: &TaskFilter, order: TaskOrder, sizes: &[u32]) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    let mut page_token = String::new();
    for page_size in sizes.iter().cycle() {
        let request = ListTasksRequest {
            filter: Some(filter.clone()),
            order: order.into(),
            page_size: *page_size,
            page_token: std::mem::take(&mut page_token),
        };
        let (page, next) = list(setup, request).await?;
        anyhow::ensure!(page.len() <= *page_size as usize, "{} on a page of {page_size}", page.len());
        tasks.extend(page);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    Ok(tasks)
}

/// The time that a task's id carries: by it lists are ordered and filtered.
fn made_at(task: &Task) -> DateTime<Utc> {
    id::time_of(Uuid::try_parse(&task.id).expect("an id")).expect("version 7")
}

/// What a list should show, the slow way.
fn plain(tasks: &[Task], filter: &TaskFilter, order: TaskOrder) -> Vec<String> {
    // Ids carry milliseconds.
    let created = |bound: Option<prost_types::Timestamp>| bound.map(|bound| time(Some(bound)).timestamp_millis());
    let (created_after, created_before) = (created(filter.created_after), created(filter.created_before));
    let finish = |task: &Task| task.finish_time.map(|at| time(Some(at)));
    let mut found: Vec<&Task> = tasks
        .iter()
        .filter(|task| filter.states.is_empty() || filter.states.contains(&task.state))
        .filter(|task| filter.queue.is_empty() || filter.queue == task.queue)
        .filter(|task| filter.kind.is_empty() || filter.kind == task.kind)
        .filter(|task| created_after.is_none_or(|bound| made_at(task).timestamp_millis() >= bound))
        .filter(|task| created_before.is_none_or(|bound| made_at(task).timestamp_millis() < bound))
        .filter(|task| filter.finished_after.is_none_or(|bound| finish(task).is_some_and(|at| at >= time(Some(bound)))))
        .filter(|task| filter.finished_before.is_none_or(|bound| finish(task).is_some_and(|at| at < time(Some(bound)))))
        .filter(|task| !by_finish(order) || task.finish_time.is_some())
        .collect();
    if by_finish(order) {
        found.sort_by_key(|task| (finish(task), task.id.clone()));
    } else {
        found.sort_by_key(|task| task.id.clone());
    }
    if !matches!(order, TaskOrder::CreatedAsc | TaskOrder::FinishedAsc) {
        found.reverse();
    }
    found.into_iter().map(|task| task.id.clone()).collect()
}

/// Tasks in all states, some deleted, some of some days ago; returns them as they stand.
async fn populate(setup: &Setup, random: &mut StdRng, worker: &mut RawWorker) -> Result<Vec<Task>> {
    let tasks: Vec<NewTask> = (0..300)
        .map(|n| {
            let age = if random.random_bool(0.3) { random.random_range(0..6 * 86_400_000) } else { 0 };
            let millis = Utc::now().timestamp_millis() - age;
            let at = uuid::Timestamp::from_unix(
                uuid::NoContext,
                u64::try_from(millis / 1_000).unwrap_or_default(),
                u32::try_from(millis % 1_000).unwrap_or_default() * 1_000_000,
            );
            NewTask {
                id: Uuid::new_v7(at).to_string(),
                queue: (*QUEUES.choose(random).expect("some")).to_owned(),
                title: format!("task {n}"),
                delay: if random.random_bool(0.2) { seconds(86_400) } else { None },
                retry: Some(RetryPolicy { backoff: seconds(86_400), ..retry_policy(2).unwrap_or_default() }),
                priority: Some(random.random_range(0..10)),
                ..new_task(KINDS.choose(random).expect("some"))
            }
        })
        .map(|task| NewTask {
            retry: task.retry.map(|retry| RetryPolicy { backoff_max: seconds(86_400), ..retry }),
            ..task
        })
        .collect();
    setup.create_all(tasks.clone()).await?;
    let started = tasks.iter().filter(|task| task.kind != "manual" && task.delay.is_none()).count();
    let mut finished = HashSet::new();
    for run in worker.runs(started, SOON).await? {
        let outcome = match random.random_range(0..8) {
            0..3 => Outcome::Completed(Default::default()),
            3..5 => Outcome::Failed(Failed { error: "broken".into(), fatal: true, ..Failed::default() }),
            // Scheduled again, for tomorrow at the latest.
            5 => Outcome::Failed(Failed { retry_after: seconds(3_600), ..Failed::default() }),
            // Goes on running.
            _ => continue,
        };
        worker.report(&run, outcome).await?;
        worker.verdict(&run, SOON).await?;
        finished.insert(run.task_id);
    }
    for task in &tasks {
        match random.random_range(0..20) {
            0 | 1 => drop(setup.cancel(&task.id, "").await),
            2 => drop(setup.delete(&task.id).await),
            3..9 if task.kind == "manual" => drop(setup.complete(&task.id, "").await),
            _ => {}
        }
    }
    // Enough wait for a worker: it leaves.
    worker.slots(0).await?;
    let more: Vec<NewTask> = (0..30).map(|_| NewTask { queue: "a".into(), ..new_task("x") }).collect();
    setup.create_all(more.clone()).await?;
    let mut there = Vec::new();
    for task in tasks.iter().chain(&more) {
        if let Ok(task) = setup.get(&task.id).await {
            there.push(Task { payload: Default::default(), result: Default::default(), ..task });
        }
    }
    Ok(there)
}

fn any_filter(random: &mut StdRng, tasks: &[Task], order: TaskOrder) -> TaskFilter {
    let one = |random: &mut StdRng| tasks.choose(random).expect("some").clone();
    let near =
        |random: &mut StdRng, at: DateTime<Utc>| timestamp(at + TimeDelta::milliseconds(random.random_range(-1..2)));
    let some = |random: &mut StdRng| random.random_bool(0.3);
    let mut states: Vec<TaskState> = STATES.into_iter().filter(|_| some(random)).collect();
    if by_finish(order) {
        states.retain(|state| is_finished(*state));
    }
    let mut filter = TaskFilter { states: states.into_iter().map(Into::into).collect(), ..TaskFilter::default() };
    if some(random) {
        filter.queue = (*QUEUES.choose(random).expect("some")).to_owned();
    }
    if some(random) {
        filter.kind = (*KINDS.choose(random).expect("some")).to_owned();
    }
    if some(random) {
        let at = made_at(&one(random));
        filter.created_after = near(random, at);
    }
    if some(random) {
        let at = made_at(&one(random));
        filter.created_before = near(random, at);
    }
    if some(random) {
        let at = one(random).finish_time;
        filter.finished_after = at.and_then(|at| near(random, time(Some(at))));
    }
    if some(random) {
        let at = one(random).finish_time;
        filter.finished_before = at.and_then(|at| near(random, time(Some(at))));
    }
    filter
}

#[tokio::test]
async fn every_list_is_what_a_plain_filter_gives() -> Result<()> {
    let mut stack = Stack::shared().await?;
    // Nobody reads the worker's stream while lists are compared, and what it holds shall go on running.
    stack.flags = vec!["--session-timeout-s".into(), "300".into()];
    let setup = Setup::on(stack).await?;
    let mut random = StdRng::seed_from_u64(4_711);
    let options = WorkerOptions { kinds: vec!["x".into(), "y".into()], slots: 1_000, ..WorkerOptions::default() };
    let mut worker = setup.worker(options).await?;
    let tasks = populate(&setup, &mut random, &mut worker).await?;
    for state in STATES {
        let count = tasks.iter().filter(|task| task.state() == state).count();
        assert!(count >= 5, "{count} tasks {state:?}");
    }
    let mut found = 0;
    for round in 0..400 {
        let order = *ORDERS.choose(&mut random).expect("some");
        let filter = any_filter(&mut random, &tasks, order);
        let sizes: Vec<u32> = (0..3).map(|_| *[1, 2, 3, 7, 20, 100, 500].choose(&mut random).expect("some")).collect();
        // One by one only where that is quick.
        let sizes = if round % 10 == 0 { sizes } else { sizes.into_iter().map(|size| size.max(20)).collect() };
        let listed = list_all(&setup, &filter, order, &sizes).await?;
        let ids: Vec<String> = listed.iter().map(|task| task.id.clone()).collect();
        assert_eq!(ids, plain(&tasks, &filter, order), "{filter:?} {order:?} pages of {sizes:?}");
        // And each is the task as it stands.
        for task in listed.iter().take(5) {
            assert_eq!(tasks.iter().find(|known| known.id == task.id), Some(task));
        }
        found += ids.len();
    }
    assert!(found > 5_000, "the filters find something: {found}");
    drop(worker);
    setup.close().await
}

#[tokio::test]
async fn a_page_token_belongs_to_its_list() -> Result<()> {
    let setup = Setup::open().await?;
    setup.create_all((0..30).map(|_| manual()).collect()).await?;
    let request = |filter: TaskFilter, order: TaskOrder, token: &str| ListTasksRequest {
        filter: Some(filter),
        order: order.into(),
        page_size: 10,
        page_token: token.to_owned(),
    };
    let of_queue = || TaskFilter { queue: "default".into(), ..TaskFilter::default() };
    let (_, token) = list(&setup, request(of_queue(), TaskOrder::CreatedDesc, "")).await?;
    // The same list, whatever the page's size, and however it is written.
    let next = request(of_queue(), TaskOrder::Unspecified, &token);
    assert_eq!(list(&setup, ListTasksRequest { page_size: 500, ..next }).await?.0.len(), 20);
    let (_, of_all) = list(&setup, request(TaskFilter::default(), TaskOrder::CreatedAsc, "")).await?;
    let all = TaskFilter { states: STATES.into_iter().rev().map(Into::into).collect(), ..TaskFilter::default() };
    assert_eq!(list(&setup, request(all, TaskOrder::CreatedAsc, &of_all)).await?.0.len(), 10);

    let other_queue = TaskFilter { queue: "other".into(), ..TaskFilter::default() };
    for wrong in [
        request(TaskFilter::default(), TaskOrder::CreatedDesc, &token),
        request(other_queue, TaskOrder::CreatedDesc, &token),
        request(TaskFilter { kind: "manual".into(), ..of_queue() }, TaskOrder::CreatedDesc, &token),
        request(TaskFilter { created_after: timestamp(Utc::now()), ..of_queue() }, TaskOrder::CreatedDesc, &token),
        request(of_queue(), TaskOrder::CreatedAsc, &token),
        request(of_queue(), TaskOrder::FinishedDesc, &token),
        request(of_queue(), TaskOrder::CreatedDesc, "nonsense"),
        request(of_queue(), TaskOrder::CreatedDesc, &format!("{token}0")),
        request(of_queue(), TaskOrder::CreatedDesc, &token[..token.len() - 3]),
        request(of_queue(), TaskOrder::CreatedDesc, "\u{0}"),
    ] {
        let error = list(&setup, wrong.clone()).await.expect_err("it is refused");
        assert_eq!(
            error.violations.first().map(|wrong| wrong.field.as_str()),
            Some("page_token"),
            "{wrong:?}: {error}"
        );
    }
    // Only finished tasks have a finish time to sort by.
    let running = TaskFilter { states: vec![TaskState::Running.into()], ..TaskFilter::default() };
    let error = list(&setup, request(running, TaskOrder::FinishedAsc, "")).await.expect_err("it is refused");
    assert_eq!(error.violations[0].field, "filter.states");
    let unknown = TaskFilter { states: vec![99], ..TaskFilter::default() };
    assert!(list(&setup, request(unknown, TaskOrder::CreatedAsc, "")).await.is_err());
    assert!(list(&setup, ListTasksRequest { order: 99, ..ListTasksRequest::default() }).await.is_err());
    setup.close().await
}

#[tokio::test]
async fn pages_go_on_while_tasks_come_and_go() -> Result<()> {
    let setup = Setup::open().await?;
    let first: Vec<NewTask> = (0..100).map(|_| manual()).collect();
    setup.create_all(first.clone()).await?;
    let mut seen: Vec<String> = Vec::new();
    let mut request =
        ListTasksRequest { page_size: 9, order: TaskOrder::CreatedDesc.into(), ..ListTasksRequest::default() };
    loop {
        let (page, next) = list(&setup, request.clone()).await?;
        seen.extend(page.into_iter().map(|task| task.id));
        // New ones, a deleted one that was seen, one that changes its table, one that is deleted before it is seen.
        setup.create(manual()).await?;
        setup.delete(&seen[seen.len() - 1]).await?;
        if let Some(unseen) = first.iter().rev().find(|task| !seen.contains(&task.id)) {
            setup.complete(&unseen.id, "").await?;
        }
        if next.is_empty() {
            break;
        }
        request.page_token = next;
    }
    let expected: Vec<String> = first.iter().rev().map(|task| task.id.clone()).collect();
    assert_eq!(seen, expected, "all that was there, once");
    setup.close().await
}

/// 100,000 tasks of the last days: half of them finished, five of queue `rare`, the oldest ones.
async fn insert_many(pool: &PgPool) -> Result<()> {
    let sql = "
        create temporary table made as
        select
            n, uuidv7(-(interval '1 second' * (500000 - 5 * n))) as id, now() - interval '1 second' * (500000 - 5 * n) as at,
            case when n <= 5 then 'rare' else 'q' || n % 10 end as queue, 'k' || n % 4 as kind,
            case
                when n % 100 < 40 then 5 when n % 100 < 46 then 6 when n % 100 < 50 then 7
                when n % 100 < 90 then 3 when n % 100 < 95 then 2 when n % 100 < 98 then 1 else 4
            end::smallint as state
        from generate_series(1, 100000) n;
        create temporary table worker as select gen_random_uuid() as session;
        insert into tasks.sessions (id, namespace, connection, is_open, expires_at, pod, name, queues, kinds, slots)
        select session, 1, 1, true, now() + interval '1 day', '', 'somebody', '{}', '{noop}', 0 from worker;
        insert into tasks.documents (
            namespace, id, created_at, timeout_ms, backoff_ms, backoff_max_ms, attempts_max, fingerprint, queue, kind,
            creator, title, description, labels, payload
        )
        select 1, id, at, 3600000, 1000, 3600000, 10, id, queue, kind, '', 'task ' || n, repeat('x', 200), '{}', 'null'
        from made;
        insert into tasks.active (
            namespace, id, xact, due_at, started_at, deadline_at, session, version, run, timeout_ms, backoff_ms,
            backoff_max_ms, payload_bytes, state, priority, attempt, attempts_max, returns, queue, kind
        )
        select
            1, id, 1, case state when 2 then now() + interval '1 day' else at end, case state when 4 then now() end,
            case state when 4 then now() + interval '1 day' end, case state when 4 then session end, 1, 0, 3600000, 1000,
            3600000, 4, state, 5, 0, 10, 0, queue, kind
        from made, worker where state < 5;
        insert into tasks.finished (
            namespace, id, xact, due_at, finished_at, version, run, payload_bytes, state, priority, attempt, queue, kind
        )
        select 1, id, 1, at, at + interval '1 hour', 2, 1, 4, state, 5, 0, queue, kind from made where state >= 5;
        insert into tasks.queues (namespace, name) select distinct 1, queue from made on conflict do nothing;
        drop table made, worker";
    sqlx::raw_sql(sql).execute(pool).await?;
    Ok(())
}

/// The lists that the documents promise to be quick: each order with each filter.
fn documented() -> Vec<(TaskOrder, TaskFilter)> {
    let now = Utc::now();
    let days_ago = |days| timestamp(now - TimeDelta::days(days));
    let mut lists = Vec::new();
    for order in ORDERS.into_iter().skip(1) {
        let states: &[&[TaskState]] = if by_finish(order) {
            &[&[], &[TaskState::Dead], &[TaskState::Completed, TaskState::Canceled]]
        } else {
            &[
                &[],
                &[TaskState::Ready],
                &[TaskState::Dead],
                &[TaskState::Running, TaskState::Completed, TaskState::Open],
            ]
        };
        for states in states {
            let states: Vec<i32> = states.iter().map(|state| (*state).into()).collect();
            for queue in ["", "q3", "nobodys"] {
                for kind in ["", "k1"] {
                    let filter = TaskFilter {
                        states: states.clone(),
                        queue: queue.into(),
                        kind: kind.into(),
                        ..TaskFilter::default()
                    };
                    lists.push((order, filter.clone()));
                    if queue.is_empty() {
                        lists.push((order, TaskFilter { created_after: days_ago(0), ..filter.clone() }));
                        lists.push((order, TaskFilter { created_before: days_ago(5), ..filter.clone() }));
                        lists.push((order, TaskFilter { finished_after: days_ago(0), ..filter.clone() }));
                        lists.push((
                            order,
                            TaskFilter { finished_before: days_ago(5), finished_after: days_ago(6), ..filter },
                        ));
                    }
                }
            }
        }
    }
    lists
}

/// Pages of memory that one page of a list may touch: 5,000 candidates, each looked up in three tables (four levels of
/// an index and a row, in some partitions), are the most.
const TOUCHED_MAX: i64 = 80_000;

/// Lists everything once, and looks at what each statement touched and how it was done.
async fn check_lists(setup: &Setup, pool: &PgPool) -> Result<()> {
    sqlx::query("select pg_stat_statements_reset()").execute(pool).await?;
    for (order, filter) in documented() {
        let begun = Instant::now();
        let request =
            ListTasksRequest { filter: Some(filter.clone()), order: order.into(), ..ListTasksRequest::default() };
        let (_, token) = list(setup, request.clone()).await?;
        if !token.is_empty() {
            list(setup, ListTasksRequest { page_token: token, ..request }).await?;
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{order:?} {filter:?} took {took:?}");
    }
    let statements: Vec<(String, i64, f64)> = sqlx::query_as(
        "select query, ((shared_blks_hit + shared_blks_read) / calls)::bigint, max_exec_time from pg_stat_statements \
         where query like 'with candidate%' order by 2 desc",
    )
    .fetch_all(pool)
    .await?;
    assert!(statements.len() >= 30, "{} kinds of lists were seen", statements.len());
    let mut connection = pool.acquire().await?;
    // As the service has them; a partition that is empty would be read whole otherwise.
    for setting in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("set {setting} = off"))).execute(&mut *connection).await?;
    }
    for (query, touched, took_ms) in statements {
        assert!(touched < TOUCHED_MAX, "{touched} pages of memory and {took_ms} ms for {query}");
        let explain = format!("explain (generic_plan, costs off) {query}");
        let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *connection).await?;
        let plan = plan.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{query}\n{}", plan.join("\n"));
    }
    Ok(())
}

#[tokio::test]
async fn lists_of_a_large_house_stay_quick_and_complete() -> Result<()> {
    let servers = Servers::private(&[("shared_preload_libraries", "pg_stat_statements")]).await?;
    let setup = Setup::on(Stack::on(Sandbox::new(&servers).await?).await?).await?;
    let pool = setup.stack.pool.clone();
    sqlx::query("create extension pg_stat_statements").execute(&pool).await?;
    // The statements are planned while the tables are empty, and used when they are not.
    list(&setup, ListTasksRequest::default()).await?;
    insert_many(&pool).await?;
    check_lists(&setup, &pool).await.context("with plans and statistics of empty tables")?;
    sqlx::raw_sql("analyze tasks.documents; analyze tasks.active; analyze tasks.finished").execute(&pool).await?;
    check_lists(&setup, &pool).await.context("with statistics")?;

    // Many queues, with much that waits in one of them.
    sqlx::raw_sql(
        "update tasks.active set state = 2, queue = 'q0' where state = 3;
         insert into tasks.queues (namespace, name) select 1, 'x' || n from generate_series(1, 489) n",
    )
    .execute(&pool)
    .await?;
    let begun = Instant::now();
    let all = ListQueuesRequest { page_size: 500, ..ListQueuesRequest::default() };
    let queues = read(setup.queues.clone().list_queues(all).await)?.queues;
    assert_eq!((queues.len(), queues.iter().map(|queue| queue.scheduled).sum::<u64>()), (500, 45_000));
    assert!(begun.elapsed() < Duration::from_secs(2), "queues took {:?}", begun.elapsed());

    // Five among 100,000, behind many short pages: all are found, and the end comes.
    for (order, states) in [
        (TaskOrder::CreatedDesc, vec![]),
        (TaskOrder::CreatedDesc, vec![TaskState::Completed]),
        (TaskOrder::FinishedDesc, vec![]),
    ] {
        let states: Vec<i32> = states.into_iter().map(Into::into).collect();
        let by_kind = TaskFilter { queue: "rare".into(), kind: "k1".into(), states, ..TaskFilter::default() };
        let mut rare: Vec<String> =
            list_all(&setup, &by_kind, order, &[10]).await?.into_iter().map(|task| task.title).collect();
        rare.sort_unstable();
        assert_eq!(rare, ["task 1", "task 5"]);
    }
    let canceled = TaskFilter { states: vec![TaskState::Canceled.into()], kind: "k2".into(), ..TaskFilter::default() };
    assert_eq!(list_all(&setup, &canceled, TaskOrder::CreatedAsc, &[500]).await?.len(), 1_000);
    setup.close().await?;
    drop(servers);
    Ok(())
}
