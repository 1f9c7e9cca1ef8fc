//! The generated code of `proto/`, its conversions to and from core types, and errors as gRPC statuses.
//!
//! Never in here: a framework, a server, a database.

pub mod access;
pub mod convert;
pub mod status;

/// The public API, version 1.
#[allow(missing_docs, clippy::large_enum_variant, clippy::doc_markdown)]
#[allow(rustdoc::invalid_html_tags, rustdoc::broken_intra_doc_links, rustdoc::invalid_rust_codeblocks)]
pub mod v1 {
    tonic::include_proto!("taskyard.v1");
}

/// What our own processes say to each other over NATS.
#[allow(missing_docs)]
pub mod internal {
    tonic::include_proto!("taskyard.internal.v1");
}

/// Encoded descriptors of all protos, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
