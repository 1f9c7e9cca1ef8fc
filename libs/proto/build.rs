//! Compiles `proto/` with protox, so that nobody needs protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 9] = [
    "taskyard/v1/admin.proto",
    "taskyard/v1/key.proto",
    "taskyard/v1/namespace.proto",
    "taskyard/v1/queue.proto",
    "taskyard/v1/schedule.proto",
    "taskyard/v1/task.proto",
    "taskyard/v1/user.proto",
    "taskyard/v1/work.proto",
    "taskyard/internal/v1/bus.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Maps in key order, so that the same content always has the same bytes.
        .btree_map(".")
        // Payloads and results are passed on without a copy.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
