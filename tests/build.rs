//! Builds the library that turns a server's clock; tests put it into `LD_PRELOAD`. Not a dependency, as this process
//! itself would be linked with it.

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=clock_shim.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let library = PathBuf::from(variable("OUT_DIR")).join("libclock_shim.so");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "opt-level=2", "-C", "panic=abort"]);
    rustc.args(["--target", &variable("TARGET")]).arg("-o").arg(&library).arg("clock_shim.rs");
    assert!(rustc.status().is_ok_and(|status| status.success()), "clock_shim.rs does not build");
    println!("cargo::rustc-env=CLOCK_SHIM={}", library.display());
}
