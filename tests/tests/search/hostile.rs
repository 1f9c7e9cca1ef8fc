//! Whatever is searched for is answered, or refused with a reason; and costs no more than it may.

use std::time::{Duration, Instant};

use anyhow::Result;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use taskyard_core::ErrorCode;
use taskyard_proto::v1::{SearchTasksRequest, TaskFilter};
use taskyard_tests::{Answer, Setup};

use super::{found, search, titled, with};

/// What a query may come to: an answer, or a field that is wrong.
fn is_fair<T>(answer: &Answer<T>) -> bool {
    answer.as_ref().err().is_none_or(|error| error.code == ErrorCode::InvalidInput)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_text_is_answered_or_refused() -> Result<()> {
    let setup = with(vec![titled("deploy the сервер a1-b2 it's", "x:y/z 'quoted' \\back"), titled("", "")]).await?;
    let texts = prop_oneof![
        ".{0,60}",
        "[a-zа-я0-9 \"'\\-!&|():*<>\\\\/@._%#]{0,80}",
        "(deploy|сервер|-|\"|or | |'|\\\\|:\\*|&|\\||!|<->|\u{0}|#n1|a1-b2|/){0,20}",
    ];
    // Labels and creators stand in queries too.
    let requests = (texts, ".{0,12}", ".{0,12}", ".{0,12}").prop_map(|(query, key, value, creator)| {
        let labels = if key.is_empty() { Default::default() } else { [(key, value)].into() };
        let filter = Some(TaskFilter { labels, creator, ..TaskFilter::default() });
        SearchTasksRequest { query, filter, ..SearchTasksRequest::default() }
    });
    let runtime = tokio::runtime::Handle::current();
    let ask = |setup: &Setup| {
        let mut runner = TestRunner::new(Config { cases: 700, failure_persistence: None, ..Config::default() });
        let run = runner.run(&requests, |request| {
            let plain = SearchTasksRequest { filter: None, ..request.clone() };
            for request in [request, plain] {
                let answer = runtime.block_on(search(setup, request.clone()));
                prop_assert!(is_fair(&answer), "{:?}: {:?}", request, answer);
            }
            Ok(())
        });
        run.map_err(|error| anyhow::anyhow!("{error}"))
    };
    tokio::task::block_in_place(|| ask(&setup))?;
    setup.close().await
}

#[tokio::test]
async fn queries_are_bounded() -> Result<()> {
    let setup = with(vec![titled("deploy", "")]).await?;
    for (query, part) in [
        (String::new(), "is missing"),
        (" \t\n".into(), "is missing"),
        ("a\0b".into(), "U+0000"),
        ("word ".repeat(1_000), "bytes"),
        ("a ".repeat(33), "words"),
        ("a-".repeat(33), "words"),
        ("ё".repeat(501), "bytes"),
    ] {
        let error = found(&setup, &query).await.expect_err("it is refused");
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.violations[0].field == "query" && error.message.contains(part), "{error}");
    }
    let too_many = SearchTasksRequest { query: "a".into(), page_size: 101, ..Default::default() };
    assert!(search(&setup, too_many).await.is_err());
    // As long, as nested and as twisted as it may be.
    for query in [
        "a ".repeat(32),
        "x".repeat(1_000),
        format!("{}deploy", "(".repeat(990)),
        "-".repeat(1_000),
        "\"".repeat(999),
        "-a or ".repeat(32),
        (0..32).map(|n| format!("a{n} or ")).collect(),
        (0..32).map(|n| format!("\"a{n}\" ")).collect(),
        "\u{202e}\u{feff}\u{10ffff}".into(),
    ] {
        let begun = Instant::now();
        let answer = found(&setup, &query).await;
        assert!(is_fair(&answer), "{query}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{query} took {:?}", begun.elapsed());
    }
    setup.close().await
}
