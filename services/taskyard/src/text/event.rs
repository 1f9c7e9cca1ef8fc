//! Events, one a line.

use taskyard_client::v1;

use super::{clean, clock, event_name, shorten};

const TEXT_CHARACTERS_MAX: usize = 80;

/// An event in one line.
pub fn event(event: &v1::Event) -> String {
    let kind = event_name(event.r#type);
    let kind = kind.strip_prefix("task.").unwrap_or(&kind);
    let mut line = format!("{}  {}  {kind:<9}", clock(event.time), event.task_id);
    let mut add = |text: String| {
        if !text.is_empty() {
            line.push_str("  ");
            line.push_str(&text);
        }
    };
    add(format!("{}/{}", clean(&event.queue), clean(&event.kind)));
    if event.run > 0 {
        add(format!("run {}", event.run));
    }
    if event.counted {
        add(format!("attempt {} spent", event.attempt));
    }
    add(clean(&event.reason));
    add(shorten(&event.title, TEXT_CHARACTERS_MAX));
    if !event.error.is_empty() {
        add(format!("({})", shorten(&event.error, TEXT_CHARACTERS_MAX)));
    }
    line
}

/// Progress in one line, below the events' columns.
pub fn progress(told: &v1::TaskProgress) -> String {
    let progress = told.progress.clone().unwrap_or_default();
    let message = shorten(&progress.message, TEXT_CHARACTERS_MAX);
    format!("{:12}  {}  {:<9}  {message}", "", told.task_id, format!("{} %", progress.percent)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let shown = v1::Event {
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            r#type: 5,
            task_id: "0190".into(),
            queue: "q".into(),
            kind: "k".into(),
            run: 1,
            attempt: 1,
            counted: true,
            title: "a title".into(),
            error: "broke\nhere".into(),
            ..Default::default()
        };
        assert_eq!(event(&shown), "00:00:01.000  0190  retrying   q/k  run 1  attempt 1 spent  a title  (broke here)");
        let told = v1::TaskProgress {
            task_id: "0190".into(),
            run: 1,
            progress: Some(v1::Progress { percent: 7, message: String::new() }),
        };
        assert_eq!(progress(&told), "              0190  7 %");
    }
}
