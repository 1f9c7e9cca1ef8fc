//! The index has what the documents say: soon, whoever reads, whatever happens to the reader and the database.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::PgPool;
use taskyard_proto::v1::{NewTask, TaskUpdate};
use taskyard_testkit::eventually;
use taskyard_tests::{SOON, Setup, Stack, create_on};

use super::{indexed, indexed_within, labeled, titled, titles_of, with};

/// What the index has and the documents do not say, or the other way round; and whether each task has its own number.
async fn differences(pool: &PgPool) -> Result<(i64, i64, i64)> {
    let differing = "
        select count(*)
        from (select namespace, id from tasks.documents where not is_deleted) d
        full join tasks.search s using (namespace, id)
        where d.id is null or s.id is null";
    let labels = "
        select count(*)
        from (
            select d.namespace, d.id, l.key, l.value
            from tasks.documents d, jsonb_each_text(d.labels) l where not d.is_deleted
        ) d
        full join tasks.search_labels s using (namespace, key, value, id)
        where d.id is null or s.id is null";
    let numbers = "select count(*) - count(distinct (namespace, number)) from tasks.search";
    Ok((
        sqlx::query_scalar(differing).fetch_one(pool).await?,
        sqlx::query_scalar(labels).fetch_one(pool).await?,
        sqlx::query_scalar(numbers).fetch_one(pool).await?,
    ))
}

fn update(title: &str) -> TaskUpdate {
    TaskUpdate { title: title.to_owned(), ..TaskUpdate::default() }
}

/// How long it takes until a query finds so many.
async fn time_until(setup: &Setup, query: &str, count: usize) -> Result<Duration> {
    let begun = Instant::now();
    eventually(SOON, format!("{query} finds {count}"), async || {
        titles_of(setup, query).await.ok().filter(|titles| titles.len() == count).map(|_| ())
    })
    .await?;
    Ok(begun.elapsed())
}

#[tokio::test]
async fn what_happens_is_found_within_two_seconds() -> Result<()> {
    let setup = with(vec![]).await?;
    let mut times = Vec::new();
    for round in 0..5 {
        let (before, after) = (format!("before{round} "), format!("after{round} "));
        let task = setup.create(titled(&before, "")).await?;
        times.push(time_until(&setup, &before, 1).await?);
        setup.update(&task.id, "title", update(&after), 0).await?;
        times.push(time_until(&setup, &after, 1).await?);
        assert!(titles_of(&setup, &before).await?.is_empty());
        setup.delete(&task.id).await?;
        times.push(time_until(&setup, &after, 0).await?);
    }
    println!("{times:?}");
    times.sort_unstable();
    indexed(&setup).await?;
    // One may be held up by what else the machine does.
    assert!(times[times.len() - 2] < Duration::from_secs(2), "{times:?}");
    assert_eq!(differences(&setup.stack.pool).await?, (0, 0, 0));
    assert_eq!(setup.stack.number("select count(*) from tasks.search").await?, 0);
    setup.close().await
}

/// Changes of state do not touch it.
#[tokio::test]
async fn a_change_of_state_writes_nothing() -> Result<()> {
    let setup = with((0..20).map(|n| titled(&format!("pump {n}"), "")).collect()).await?;
    let rows = "select sum(xmin::text::bigint)::bigint from tasks.search";
    let before = setup.stack.number(rows).await?;
    let ids: Vec<String> =
        sqlx::query_scalar("select id::text from tasks.documents").fetch_all(&setup.stack.pool).await?;
    for id in &ids {
        setup.complete(id, "").await?;
    }
    indexed(&setup).await?;
    assert_eq!(setup.stack.number(rows).await?, before);
    setup.close().await
}

/// Pods die right after a step, and the lead changes: each task is indexed, and has a number of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_die_in_the_middle() -> Result<()> {
    let stack = Stack::shared().await?;
    let order = std::env::temp_dir().join(format!("taskyard-fault-{}", stack.sandbox.prefix()));
    let file = [("TASKYARD_FAULT_FILE", order.to_string_lossy().into_owned())];
    let mut pods = vec![stack.ready_process(&file).await?, stack.ready_process(&file).await?];
    let mut created: Vec<String> = Vec::new();
    for round in 0..4 {
        // The last round only changes the lead.
        if round < 3 {
            std::fs::write(&order, "abort index-committed")?;
        }
        let mut fell = None;
        for number in 0..60 {
            let task = labeled(&format!("round{round} task{number}"), &[("round", &round.to_string())]);
            for _ in 0..100 {
                let pod = &pods[number % 2];
                let Ok(client) = pod.tasks().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    fell = Some(number % 2);
                    let task: NewTask = task.clone();
                    if let Ok(client) = pods[(number + 1) % 2].tasks().await
                        && create_on(&client, task).await.is_ok()
                    {
                        break;
                    }
                    continue;
                };
                if create_on(&client, task.clone()).await.is_ok() {
                    break;
                }
            }
            created.push(task.id);
        }
        if round < 3 {
            eventually(SOON, "the order is carried out", async || (!order.exists()).then_some(())).await?;
            let fell = match fell {
                Some(fell) => fell,
                None => {
                    eventually(SOON, "a pod is gone", async || {
                        for (number, pod) in pods.iter().enumerate() {
                            if pod.tasks().await.is_err() {
                                return Some(number);
                            }
                        }
                        None
                    })
                    .await?
                }
            };
            pods[fell] = stack.ready_process(&file).await?;
        }
    }
    assert_eq!(stack.number("select count(*) from tasks.documents").await?, 240);
    indexed_within(&stack.pool, SOON * 2).await?;
    assert_eq!(differences(&stack.pool).await?, (0, 0, 0));
    assert_eq!(stack.number("select count(*) from tasks.search").await?, 240);
    let numbered = stack.number("select numbered from tasks.search_namespaces").await?;
    assert_eq!(numbered, 240, "each was numbered once");
    drop(pods);
    stack.close().await
}

/// A new epoch begins, as after a restore: events of the old and the new one are taken in.
#[tokio::test]
async fn the_index_goes_on_in_a_new_epoch() -> Result<()> {
    let setup = with(vec![titled("first", "")]).await?;
    taskyard_tasks::setup::advance_epoch(setup.stack.sandbox.database_url()).await?;
    setup.create(titled("second", "")).await?;
    indexed(&setup).await?;
    assert_eq!(setup.stack.number("select count(distinct epoch) from tasks.events").await?, 2);
    assert_eq!(titles_of(&setup, "first or second ").await?.len(), 2);

    // It has read what the database knows nothing of: all is gone through again.
    let lost = "
        with wrong as (update tasks.search_reader set epoch = 1, xact = 1000000000)
        delete from tasks.search where number = 0";
    sqlx::raw_sql(lost).execute(&setup.stack.pool).await?;
    let Setup { mut stack, pod, .. } = setup;
    pod.stop().await?;
    stack.flags.clear();
    let setup = Setup::on(stack).await?;
    setup.create(titled("third", "")).await?;
    indexed(&setup).await?;
    assert_eq!(titles_of(&setup, "first or second or third ").await?.len(), 3);
    assert_eq!(differences(&setup.stack.pool).await?, (0, 0, 0));
    setup.close().await
}

/// A database from before there was an index: it is filled from the documents, and `reindex` does so again.
#[tokio::test]
async fn an_existing_database_is_filled_and_made_anew() -> Result<()> {
    let setup = with(vec![]).await?;
    let tasks: Vec<NewTask> = (0..900).map(|n| labeled(&format!("pump {n}"), &[("n", &(n % 7).to_string())])).collect();
    setup.create_all(tasks.clone()).await?;
    setup.delete(&tasks[5].id).await?;
    indexed(&setup).await?;
    let Setup { mut stack, pod, .. } = setup;
    pod.stop().await?;
    stack.flags.clear();
    // As the migration leaves it.
    let empty = "
        truncate tasks.search, tasks.search_labels, tasks.search_dictionary, tasks.search_namespaces;
        update tasks.search_reader set epoch = -1, xact = 0, seq = 0, fill = 0, is_whole = false, filled = 0,
            fill_namespace = -2147483648, fill_id = '00000000-0000-0000-0000-000000000000'";
    sqlx::raw_sql(empty).execute(&stack.pool).await?;
    let setup = Setup::on(stack).await?;
    indexed(&setup).await?;
    assert_eq!(differences(&setup.stack.pool).await?, (0, 0, 0));
    assert_eq!(setup.stack.number("select count(*) from tasks.search").await?, 899);
    assert_eq!(setup.stack.number("select filled from tasks.search_reader").await?, 900);

    // Damaged: rows that are missing, that are wrong, and of tasks that are no more.
    let damage = "
        delete from tasks.search where number % 3 = 0;
        delete from tasks.search_labels where value = '2';
        update tasks.search set words = 'nonsense' where number % 3 = 1;
        insert into tasks.search select 1, uuidv7(), 5000 + n, '', '#n1 ghost' from generate_series(1, 10) n;
        insert into tasks.search_labels select 1, 'n', 'ghost', uuidv7() from generate_series(1, 10) n;
        insert into tasks.search_dictionary values (1, 'ghost', 10)";
    sqlx::raw_sql(damage).execute(&setup.stack.pool).await?;
    let mut told = Vec::new();
    let done = taskyard_tasks::reindex(setup.stack.sandbox.database_url(), |progress| told.push(progress)).await?;
    assert!(done >= 900, "{done}");
    assert!(told.last().context("progress")?.tasks >= 900, "{told:?}");
    indexed(&setup).await?;
    // Labels without a task and without an index row are left for retention.
    let ghosts = setup.stack.number("select count(*) from tasks.search_labels where value = 'ghost'").await?;
    sqlx::raw_sql("delete from tasks.search_labels where value = 'ghost'").execute(&setup.stack.pool).await?;
    assert_eq!((differences(&setup.stack.pool).await?, ghosts), ((0, 0, 0), 10));
    assert_eq!(setup.stack.number("select count(*) from tasks.search where words = 'nonsense'").await?, 0);
    assert_eq!(setup.stack.number("select count(*) from tasks.search_dictionary where word = 'ghost'").await?, 0);
    assert_eq!(titles_of(&setup, "pump ").await?.len(), 100);
    setup.close().await
}

/// A task that cannot be indexed is parked with the reason; the others are found, and so is it once it can be.
#[tokio::test]
async fn poison_is_parked() -> Result<()> {
    let setup = with(vec![]).await?;
    let refuse = "
        create function pg_temp.nothing() returns void language sql as '';
        create function public.refuse() returns trigger language plpgsql as $$
        begin
            if new.words @@ 'poison'::tsquery then raise exception 'it is poison' using errcode = '22000'; end if;
            return new;
        end $$;
        create trigger refuse before insert or update on tasks.search for each row execute function public.refuse()";
    sqlx::raw_sql(refuse).execute(&setup.stack.pool).await?;
    let tasks: Vec<NewTask> =
        (0..40).map(|n| titled(&format!("pump {}", if n % 20 == 7 { "poison" } else { "good" }), "")).collect();
    setup.create_all(tasks.clone()).await?;
    indexed(&setup).await?;
    assert_eq!(titles_of(&setup, "pump ").await?.len(), 38);
    let parked: Vec<(String, String)> =
        sqlx::query_as("select task_id::text, error from tasks.search_parked order by task_id")
            .fetch_all(&setup.stack.pool)
            .await?;
    assert_eq!(parked.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&tasks[7].id, &tasks[27].id]);
    assert!(parked[0].1.contains("it is poison"), "{parked:?}");
    setup.update(&tasks[7].id, "title", update("pump healed"), 0).await?;
    indexed(&setup).await?;
    assert_eq!(titles_of(&setup, "healed ").await?.len(), 1);
    assert_eq!(setup.stack.number("select count(*) from tasks.search_parked").await?, 1);

    // A fill parks it too, and goes on.
    sqlx::raw_sql("delete from tasks.search_parked").execute(&setup.stack.pool).await?;
    taskyard_tasks::reindex(setup.stack.sandbox.database_url(), |_| ()).await?;
    indexed(&setup).await?;
    assert_eq!(setup.stack.number("select count(*) from tasks.search_parked").await?, 1);
    assert_eq!(titles_of(&setup, "pump ").await?.len(), 39);
    setup.close().await
}

/// Words that only a deleted task had leave the dictionary with the leader's next round through the house.
#[tokio::test]
async fn words_of_deleted_tasks_are_forgotten() -> Result<()> {
    let setup = with(vec![titled("deploy servers", "")]).await?;
    let secret = setup.create(titled("secretword servers the", "")).await?;
    indexed(&setup).await?;
    let word = "select count(*) from tasks.search_dictionary where word = 'secretword'";
    assert_eq!(setup.stack.number(word).await?, 1);
    setup.delete(&secret.id).await?;
    indexed(&setup).await?;
    eventually(Duration::from_secs(60), "the word is forgotten", async || {
        setup.stack.number(word).await.ok().filter(|count| *count == 0)
    })
    .await?;
    let left = "select count(*) from tasks.search_dictionary where word in ('deploy', 'servers')";
    assert_eq!(setup.stack.number(left).await?, 2);
    setup.close().await
}

/// Several readers at once do each step once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_do_the_work_of_one() -> Result<()> {
    let setup = with(vec![]).await?;
    let url = setup.stack.sandbox.database_url().to_owned();
    let tasks: Vec<NewTask> = (0..600).map(|n| labeled(&format!("pump {n}"), &[("team", "growth")])).collect();
    // Each fills and follows, while tasks come, change and go.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { taskyard_tasks::reindex(&url, |_| ()).await })
        })
        .collect();
    for (number, task) in tasks.iter().enumerate() {
        setup.create(task.clone()).await?;
        match number % 5 {
            0 => drop(setup.update(&task.id, "title,labels", update("changed"), 0).await?),
            1 => setup.delete(&task.id).await?,
            _ => {}
        }
    }
    for reader in readers {
        // One that another has overtaken says so.
        if let Err(error) = reader.await? {
            assert!(error.to_string().contains("another reindex"), "{error:#}");
        }
    }
    indexed(&setup).await?;
    assert_eq!(differences(&setup.stack.pool).await?, (0, 0, 0));
    assert_eq!(setup.stack.number("select count(*) from tasks.search").await?, 480);
    assert_eq!(setup.stack.number("select count(*) from tasks.search_labels").await?, 360);
    assert_eq!(titles_of(&setup, "changed ").await?.len(), 100);
    setup.close().await
}
