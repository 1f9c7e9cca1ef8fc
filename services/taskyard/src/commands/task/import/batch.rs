//! Lines in batches.

use std::io::{self, BufReader, Read};

use prost::Message;
use taskyard_client::v1;
use taskyard_core::limits::BATCH_TASKS_MAX;
use tokio::sync::mpsc;

use super::{
    line::{self, Bad, Defaults, LINE_BYTES_MAX},
    lines::Lines,
};

/// A batch is sent when it has so many bytes: far below the greatest request, so that a few at once are no burden.
const BATCH_BYTES: usize = 4 << 20;

/// Some lines. Those that are no task come along, so that all is told in one place.
#[derive(Debug, Default)]
pub struct Batch {
    /// Tasks with their lines' numbers.
    pub tasks: Vec<(u64, v1::NewTask)>,
    /// Other lines, with their numbers.
    pub bad: Vec<(u64, Bad)>,
    bytes: usize,
}

/// Reads all lines. It ends early when nobody wants batches any more.
pub fn read<R: Read>(input: BufReader<R>, defaults: &Defaults, batches: &mpsc::Sender<Batch>) -> io::Result<()> {
    let mut lines = Lines::new(input, LINE_BYTES_MAX);
    let mut batch = Batch::default();
    loop {
        let more = match lines.next()? {
            Some(line) => {
                batch.add(line.number, line::read(&line, defaults));
                true
            }
            None => false,
        };
        // Input that comes slowly is not held back while nobody has anything to do.
        let idle = lines.is_dry() && batches.capacity() == batches.max_capacity();
        if (!more || idle || batch.is_full())
            && !batch.is_empty()
            && batches.blocking_send(std::mem::take(&mut batch)).is_err()
        {
            return Ok(());
        }
        if !more {
            return Ok(());
        }
    }
}

impl Batch {
    fn add(&mut self, number: u64, read: Result<Option<v1::NewTask>, Bad>) {
        match read {
            Ok(Some(task)) => {
                self.bytes += task.encoded_len();
                self.tasks.push((number, task));
            }
            Ok(None) => {}
            Err(bad) => self.bad.push((number, bad)),
        }
    }

    fn is_full(&self) -> bool {
        self.tasks.len() >= BATCH_TASKS_MAX || self.bad.len() >= BATCH_TASKS_MAX || self.bytes >= BATCH_BYTES
    }

    const fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.bad.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: String) -> Vec<Batch> {
        let (sender, mut receiver) = mpsc::channel(1);
        let defaults = Defaults { kind: "k".into(), ..Defaults::default() };
        let reader = std::thread::spawn(move || {
            // All of it is there at once.
            let input = BufReader::with_capacity(text.len() + 1, io::Cursor::new(text.into_bytes()));
            read(input, &defaults, &sender)
        });
        let all = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        reader.join().unwrap().unwrap();
        all
    }

    #[test]
    fn a_batch_is_bounded_by_number_and_bytes() {
        let sizes = |text: String| batches(text).iter().map(|batch| batch.tasks.len()).collect::<Vec<_>>();
        assert_eq!(sizes("{}\n".repeat(2_500)), [1_000, 1_000, 500]);
        let line = format!("{{\"payload\": \"{}\"}}\n", "x".repeat(1 << 20));
        assert_eq!(sizes(line.repeat(9)), [4, 4, 1]);
        let bad: Vec<_> = batches("x\n".repeat(1_500)).iter().map(|batch| batch.bad.len()).collect();
        assert_eq!(bad, [1_000, 500]);
    }

    #[test]
    fn numbers_count_every_line() {
        let all = batches("{}\n\nx\n{}".to_owned());
        let numbers: Vec<_> = all.iter().flat_map(|batch| batch.tasks.iter().map(|(number, _)| *number)).collect();
        assert_eq!(numbers, [1, 4]);
        assert_eq!(all.iter().flat_map(|batch| &batch.bad).map(|(number, _)| *number).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn it_ends_when_nobody_listens() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        assert!(read(BufReader::new(&b"{}\n{}\n"[..]), &Defaults::default(), &sender).is_ok());
    }
}
