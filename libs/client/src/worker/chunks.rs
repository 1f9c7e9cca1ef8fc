//! Payloads that come in pieces.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use taskyard_core::limits;
use taskyard_proto::v1;

use super::run_name::RunName;

/// The pieces that came on one stream and whose assignment has not come yet.
#[derive(Debug)]
pub(super) struct Chunks {
    parts: HashMap<RunName, BytesMut>,
    bytes: u64,
    bytes_max: u64,
}

impl Chunks {
    /// `credit_bytes` is what the worker asked for; one payload of any size may come above it.
    pub fn new(credit_bytes: u64) -> Self {
        let bytes_max = credit_bytes.saturating_add(limits::REQUEST_BYTES_MAX as u64);
        Self { parts: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Takes a piece in.
    ///
    /// # Errors
    /// If the pod breaks the contract: the stream has to be left.
    pub fn add(&mut self, chunk: &v1::Chunk) -> Result<(), String> {
        let name = RunName::parse(&chunk.task_id, chunk.run).map_err(|error| error.message)?;
        self.bytes = self.bytes.saturating_add(chunk.data.len() as u64);
        if self.bytes > self.bytes_max {
            return Err(format!("more than {} bytes of payload came in chunks", self.bytes_max));
        }
        self.parts.entry(name).or_default().extend_from_slice(&chunk.data);
        Ok(())
    }

    /// The payload of an assignment: its own bytes, or the pieces.
    ///
    /// # Errors
    /// If the pod breaks the contract: the stream has to be left.
    pub fn payload(&mut self, name: RunName, payload: Bytes, chunked_bytes: u64) -> Result<Bytes, String> {
        let parts = self.parts.remove(&name).unwrap_or_default();
        self.bytes -= parts.len() as u64;
        if parts.len() as u64 != chunked_bytes {
            return Err(format!("{} bytes came in chunks for run {name}, not {chunked_bytes}", parts.len()));
        }
        Ok(if chunked_bytes == 0 { payload } else { parts.freeze() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn chunk(run: u32, data: &[u8]) -> v1::Chunk {
        v1::Chunk { task_id: Uuid::nil().to_string(), run, data: Bytes::copy_from_slice(data) }
    }

    proptest! {
        /// Payloads of several runs, cut anywhere and mixed in any way, come out as they were.
        #[test]
        fn any_split_and_any_mixture_is_put_together(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..5),
            cuts in prop::collection::vec((0usize..5, 1usize..90), 0..200),
        ) {
            let mut chunks = Chunks::new(0);
            let mut sent = vec![0; payloads.len()];
            let all = (0..payloads.len()).map(|run| (run, usize::MAX));
            for (run, bytes) in cuts.into_iter().chain(all) {
                let run = run % payloads.len();
                let rest = &payloads[run][sent[run]..];
                let bytes = bytes.min(rest.len());
                chunks.add(&chunk(u32::try_from(run).unwrap(), &rest[..bytes])).unwrap();
                sent[run] += bytes;
            }
            for (run, payload) in payloads.iter().enumerate() {
                let name = RunName { task_id: Uuid::nil(), run: u32::try_from(run).unwrap() };
                let whole = chunks.payload(name, Bytes::new(), payload.len() as u64).unwrap();
                prop_assert_eq!(&whole[..], &payload[..]);
            }
            prop_assert_eq!(chunks.bytes, 0);
        }
    }

    #[test]
    fn what_breaks_the_contract_is_refused() {
        let name = RunName { task_id: Uuid::nil(), run: 1 };
        let mut chunks = Chunks::new(0);
        assert_eq!(chunks.payload(name, Bytes::from_static(b"1"), 0), Ok(Bytes::from_static(b"1")));
        assert!(chunks.payload(name, Bytes::new(), 5).is_err(), "no chunk came");
        chunks.add(&chunk(1, b"abc")).unwrap();
        assert!(chunks.payload(name, Bytes::new(), 5).is_err(), "some are missing");
        assert!(chunks.add(&v1::Chunk { task_id: "x".into(), run: 1, data: Bytes::new() }).is_err());
        let piece = vec![0; limits::CHUNK_BYTES_MAX];
        let mut chunks = Chunks::new(0);
        let refused = (0..1_000).find(|_| chunks.add(&chunk(1, &piece)).is_err());
        assert_eq!(refused, Some(limits::REQUEST_BYTES_MAX / limits::CHUNK_BYTES_MAX));
    }
}
