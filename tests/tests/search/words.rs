//! Which words find which tasks, in which order, and what is marked.

use anyhow::Result;
use taskyard_proto::v1::NewTask;

use super::{found, labeled, marked, titled, titles_of, with};

fn sorted(mut titles: Vec<String>) -> Vec<String> {
    titles.sort_unstable();
    titles
}

#[tokio::test]
async fn words_are_found_in_every_form_in_both_languages() -> Result<()> {
    let setup = with(vec![
        titled("Deploying the web servers", ""),
        titled("Развернуть серверы", "в новой сети; ёлка не нужна"),
        titled("Café order", "client/server at example.com, ticket ORD-12345"),
        titled("Nothing of note", ""),
    ])
    .await?;
    for (query, expected) in [
        ("deploy ", vec!["Deploying the web servers"]),
        ("DEPLOYED server ", vec!["Deploying the web servers"]),
        ("сервер ", vec!["Развернуть серверы"]),
        ("серверами сетях ", vec!["Развернуть серверы"]),
        ("елки ", vec!["Развернуть серверы"]),
        ("Ёлка ", vec!["Развернуть серверы"]),
        ("cafe ", vec!["Café order"]),
        ("café ", vec!["Café order"]),
        ("client/server ", vec!["Café order"]),
        ("client ", vec!["Café order"]),
        ("example.com ", vec!["Café order"]),
        ("example ", vec!["Café order"]),
        ("ORD-12345 ", vec!["Café order"]),
        ("12345 ", vec!["Café order"]),
        // Both words have to be there; stop words say nothing.
        ("deploy сервер ", vec![]),
        ("the deploy of servers ", vec!["Deploying the web servers"]),
        ("the ", vec![]),
        ("!? ", vec![]),
    ] {
        assert_eq!(titles_of(&setup, query).await?, expected, "{query}");
    }
    setup.close().await
}

#[tokio::test]
async fn phrases_exclusions_and_alternatives() -> Result<()> {
    let setup = with(vec![
        titled("red apple pie", ""),
        titled("apple red wine", ""),
        titled("green pear", ""),
        titled("красное яблоко", ""),
    ])
    .await?;
    for (query, expected) in [
        ("red apple ", vec!["apple red wine", "red apple pie"]),
        ("\"red apple\"", vec!["red apple pie"]),
        ("\"red apple", vec!["red apple pie"]),
        ("apple -wine ", vec!["red apple pie"]),
        ("apple -\"red apple\"", vec!["apple red wine"]),
        ("pie or pear ", vec!["green pear", "red apple pie"]),
        ("pear OR яблоко ", vec!["green pear", "красное яблоко"]),
        ("apple pie or wine ", vec!["apple red wine", "red apple pie"]),
        ("-apple ", vec!["green pear", "красное яблоко"]),
        ("\"красные яблоки\"", vec!["красное яблоко"]),
        ("\"яблоко красное\"", vec![]),
    ] {
        assert_eq!(sorted(titles_of(&setup, query).await?), expected, "{query}");
    }
    setup.close().await
}

#[tokio::test]
async fn the_last_word_may_be_a_beginning() -> Result<()> {
    let setup = with(vec![
        titled("deployment of servers", ""),
        titled("depot", ""),
        titled("развертывание", ""),
        titled("ticket 2026117", ""),
    ])
    .await?;
    for (query, expected) in [
        ("dep", vec!["deployment of servers", "depot"]),
        ("deploymen", vec!["deployment of servers"]),
        ("DEPLOY", vec!["deployment of servers"]),
        ("deployment ser", vec!["deployment of servers"]),
        ("разверт", vec!["развертывание"]),
        ("разв", vec!["развертывание"]),
        ("2026", vec!["ticket 2026117"]),
        // Only the last one, and not once a space says that it is whole.
        ("dep servers ", vec![]),
        ("dep ", vec![]),
    ] {
        assert_eq!(
            sorted(titles_of(&setup, query).await?),
            sorted(expected.iter().map(|t| (*t).into()).collect()),
            "{query}"
        );
    }
    setup.close().await
}

#[tokio::test]
async fn a_word_that_nobody_wrote_is_taken_for_the_nearest() -> Result<()> {
    let setup =
        with(vec![titled("deploy server", ""), titled("сервер приложений", ""), titled("serve dinner", "")]).await?;
    for (query, corrected, expected) in [
        ("depoly ", "deploy", "deploy server"),
        ("depoly servr ", "deploy serve or server", "deploy server"),
        ("сервре ", "сервер", "сервер приложений"),
        ("прилажений", "приложений", "сервер приложений"),
        ("depoly -dinner ", "deploy -dinner", "deploy server"),
    ] {
        let answer = found(&setup, query).await?;
        assert_eq!(answer.corrected_query, corrected, "{query}");
        assert_eq!(super::titles(&answer.hits), [expected], "{query}");
    }
    // What is found as it was written is not corrected, nor are known words that no task has together.
    for (query, hits) in [("server ", 1), ("dinner deploy ", 0), ("zzzzzz ", 0)] {
        let answer = found(&setup, query).await?;
        assert_eq!((answer.corrected_query.as_str(), answer.hits.len()), ("", hits), "{query}");
    }
    setup.close().await
}

#[tokio::test]
async fn titles_weigh_most_then_labels_and_of_equals_the_newer_comes_first() -> Result<()> {
    let body = "pump ".repeat(50);
    let setup = with(vec![
        titled("old pump", ""),
        NewTask { title: "labeled".into(), ..labeled("", &[("part", "pump")]) },
        titled("described", &body),
        titled("new pump", ""),
    ])
    .await?;
    assert_eq!(titles_of(&setup, "pump ").await?, ["new pump", "old pump", "labeled", "described"]);
    // Keys of labels are words too.
    assert_eq!(titles_of(&setup, "part ").await?, ["labeled"]);
    setup.close().await
}

#[tokio::test]
async fn what_matches_is_marked_in_plain_text() -> Result<()> {
    let long = format!("{} the servers were <b>deployed</b> & left alone. {}", "far ".repeat(300), "away ".repeat(300));
    let setup = with(vec![titled("Deploy <script>alert(1)</script> \u{1}servers\u{2}", &long)]).await?;
    let hit = found(&setup, "deploy server").await?.hits.remove(0);
    // Nothing that the title has is lost or taken for a mark, but for the characters that are the marks.
    assert_eq!(marked(&hit.title), "[Deploy] <script>alert(1)</script> [servers]");
    let description = marked(&hit.description);
    assert!(description.contains("[servers] were"), "{description}");
    assert!(description.contains("[deployed]"), "{description}");
    assert!(description.len() < 600, "an extract: {description}");
    setup.close().await
}
