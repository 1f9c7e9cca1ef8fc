//! Every way in which a run can end by itself.

use std::time::Duration;

use taskyard_client::{
    v1::{self, Verdict, result::Outcome as Ended, work_request::Message},
    worker::{Context, Job, Outcome, StopReason},
};

use crate::fake::{FakePod, FakeWorker, assignment, builder, completed, failed, new_id, returned};

async fn handle(job: Job, context: Context) -> Outcome {
    match job.payload_as::<String>().unwrap().as_str() {
        "complete" => Outcome::completed(&vec![1, 2]),
        "nothing" => Outcome::Completed(bytes::Bytes::new()),
        "fail" => Outcome::failed("no\0 way"),
        "later" => {
            Outcome::Failed { error: "x".repeat(9_999), fatal: false, retry_after: Some(Duration::from_secs(7)) }
        }
        "fatal" => Outcome::fatal("never"),
        "panic" => panic!("number {}", 7),
        "return" => Outcome::Returned,
        "stop" => Outcome::Stopped,
        "slow" => match context.stopped().await {
            StopReason::TimedOut => Outcome::Stopped,
            reason => Outcome::failed(format!("{reason:?}")),
        },
        "late" => {
            context.stopped().await;
            Outcome::completed("late")
        }
        "deaf" => std::future::pending().await,
        other => Outcome::fatal(other),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_is_told() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    let later = v1::Failed {
        error: "x".repeat(4_096),
        retry_after: Some(Duration::from_secs(7).try_into().unwrap()),
        ..v1::Failed::default()
    };
    let fatal = v1::Failed { error: "never".to_owned(), fatal: true, ..v1::Failed::default() };
    for (what, expected) in [
        ("complete", completed("[1,2]")),
        ("nothing", completed("")),
        ("fail", failed("no\u{fffd} way")),
        ("later", Some(Ended::Failed(later))),
        ("fatal", Some(Ended::Failed(fatal))),
        ("panic", failed("the handler panicked: number 7")),
        ("return", returned()),
        ("stop", returned()),
    ] {
        let id = new_id();
        stream.assign([assignment(&id, 9, &format!("\"{what}\""))]).await;
        let result = stream.result().await;
        assert_eq!((result.task_id, result.run, result.outcome), (id.clone(), 9, expected), "{what}");
        stream.acknowledge(&id, 9, Verdict::Recorded).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_holds_what_the_assignment_says() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |job: Job, _| async move {
        Outcome::completed(&format!(
            "{} {} {} {} {} {} {:?} {}/{} {:?} {:?} {:?}",
            job.task_id,
            job.run,
            job.namespace,
            job.queue,
            job.kind,
            job.title,
            job.labels,
            job.attempt,
            job.attempts_max,
            job.timeout,
            job.create_time.map(|time| time.timestamp()),
            job.payload
        ))
    });
    let mut stream = pod.welcome().await;
    let id = new_id();
    let mut given = assignment(&id, 4, "");
    given.labels.insert("team".to_owned(), "a".to_owned());
    given.create_time = Some(std::time::SystemTime::UNIX_EPOCH.into());
    stream.assign([given]).await;
    let expected =
        format!("\"{id} 4 me default test a title {{\\\"team\\\": \\\"a\\\"}} 1/3 60s Some(0) b\\\"null\\\"\"");
    assert_eq!(stream.result().await.outcome, completed(&expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_too_long_is_stopped_and_told_so() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    for what in ["slow", "deaf", "late"] {
        let mut given = assignment(&new_id(), 1, &format!("\"{what}\""));
        given.timeout = Some(Duration::from_millis(300).try_into().unwrap());
        let began = tokio::time::Instant::now();
        stream.assign([given]).await;
        let outcome = stream.result().await.outcome;
        let took = began.elapsed();
        let least = if what == "deaf" { 500 } else { 300 };
        assert!((Duration::from_millis(least)..Duration::from_millis(least + 400)).contains(&took), "{what} {took:?}");
        if what == "late" {
            assert_eq!(outcome, completed("\"late\""), "it is done: why do it again?");
        } else {
            let Some(Ended::Failed(failure)) = outcome else { panic!("{outcome:?}") };
            assert!(failure.timed_out && !failure.fatal);
            assert_eq!(failure.error, "took longer than its timeout of 300ms", "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_the_server_cannot_take_becomes_a_failure_then_a_return_then_nothing() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), handle);
    let mut stream = pod.welcome().await;
    let id = new_id();
    stream.assign([assignment(&id, 1, "\"complete\"")]).await;
    for expected in [completed("[1,2]"), failed("the server cannot take the result: why"), returned()] {
        assert_eq!(stream.result().await.outcome, expected);
        stream.acknowledge(&id, 1, Verdict::Invalid).await;
    }
    assert_eq!(stream.barrier().await, []);
    drop(stream);
    assert!(pod.welcome().await.hello.held.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_above_the_credit_goes_back() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]).slots(2), handle);
    let mut stream = pod.welcome().await;
    assert_eq!(stream.hello.slots, 2);
    let ids: Vec<_> = (0..5).map(|_| new_id()).collect();
    stream.assign(ids.iter().map(|id| assignment(id, 1, "\"deaf\""))).await;
    let back = stream.results(3).await;
    assert!(back.iter().all(|result| result.outcome == returned()), "{back:?}");
    let tasks: Vec<_> = back.into_iter().map(|result| result.task_id).collect();
    assert_eq!(tasks, ids[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_a_few_times_a_second_and_the_last_one_counts() {
    let mut pod = FakePod::start();
    let _worker = FakeWorker::start(builder(&[&pod]), |_: Job, context: Context| async move {
        for step in 0..2_000_u32 {
            context.progress(u8::try_from(step / 20).unwrap(), format!("step {step}"));
            if step % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        context.progress(255, "x".repeat(10_000));
        tokio::time::sleep(Duration::from_millis(400)).await;
        Outcome::Returned
    });
    let mut stream = pod.welcome().await;
    stream.assign([assignment(&new_id(), 1, "1")]).await;
    let mut reports = Vec::new();
    loop {
        match stream.next().await {
            Message::Progress(progress) => reports.extend(progress.reports),
            Message::Results(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((3..=16).contains(&reports.len()), "{} reports", reports.len());
    let percents: Vec<_> = reports.iter().map(|report| report.progress.as_ref().unwrap().percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    let last = reports.last().unwrap().progress.as_ref().unwrap();
    assert_eq!((last.percent, last.message.len()), (100, 512));
}
