//! Installing, with a `python3` that is missing, or that we play: it copies the workspace's installation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result};
use taskyard_devstack::Devstack;

use crate::folder::{Folder, install_dir};
use crate::program::devstack_installed_in;

const WITH_PIP: &str = r#"case "$*" in
*"import pip"*) exit 0 ;;
*"pip install"*"--require-hashes"*)
    echo once >>"$HERE/installs"
    sleep 0.3
    while [ "$1" != --target ]; do shift; done
    cp -R "$INSTALLED" "$2" ;;
*) exit 1 ;;
esac
"#;

const WITH_VENV_ONLY: &str = r#"case "$*" in
*"-m venv"*)
    for last in "$@"; do :; done
    mkdir -p "$last/bin"
    cp "$HERE/with_pip" "$last/bin/python3" ;;
*) echo "No module named pip" >&2; exit 1 ;;
esac
"#;

const OFFLINE: &str = r#"case "$*" in
*"import pip"*) exit 0 ;;
*) echo "ERROR: no connection" >&2; exit 1 ;;
esac
"#;

/// A folder with programs to be found before all others, and one to install to.
struct Stage {
    folder: Folder,
    installed: PathBuf,
}

impl Stage {
    async fn new() -> Result<Self> {
        let folder = Folder::new();
        // Makes sure that there is something to copy.
        Devstack::start(folder.options(), |_| {}).await?.stop().await?;
        fs::create_dir(folder.path().join("bin"))?;
        let installed = fs::read_dir(install_dir())?.flatten().map(|entry| entry.path()).find(|path| path.is_dir());
        Ok(Self { folder, installed: installed.context("nothing is installed")? })
    }

    fn put(&self, path: &str, script: &str) -> Result<()> {
        let path = self.folder.path().join(path);
        fs::write(&path, format!("#!/bin/sh\n{script}"))?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    fn install_dir(&self) -> PathBuf {
        self.folder.path().join("installed")
    }

    /// Runs a command with private servers that have yet to be installed.
    async fn run(&self, stack: &str) -> Result<Output> {
        let here = self.folder.path();
        let mut program = devstack_installed_in(&self.install_dir(), &here.join(stack));
        program.args(["--", "true"]);
        program.env("PATH", format!("{}:/usr/bin:/bin", here.join("bin").display()));
        program.env("HERE", here).env("INSTALLED", &self.installed);
        Ok(program.output().await?)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> =
        fs::read_dir(dir)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn several_processes_at_once_install_once() -> Result<()> {
    let stage = Stage::new().await?;
    stage.put("bin/python3", WITH_PIP)?;
    let (first, second, third) = tokio::join!(stage.run("first"), stage.run("second"), stage.run("third"));
    for output in [first?, second?, third?] {
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(fs::read_to_string(stage.folder.path().join("installs"))?, "once\n");
    let hash = stage.installed.file_name().context("no name")?.to_string_lossy().into_owned();
    assert_eq!(names(&stage.install_dir())?, [hash, "lock".to_owned(), "servers.txt".to_owned()]);
    Ok(())
}

#[tokio::test]
async fn an_interrupted_installation_is_started_over() -> Result<()> {
    let stage = Stage::new().await?;
    stage.put("bin/python3", WITH_PIP)?;
    let hash = stage.installed.file_name().context("no name")?.to_string_lossy();
    let partial = stage.install_dir().join(format!("{hash}.partial"));
    fs::create_dir_all(&partial)?;
    fs::write(partial.join("half"), "")?;
    let output = stage.run("stack").await?;
    assert!(output.status.success(), "{}", said(&output));
    assert!(!stage.install_dir().join(&*hash).join("half").exists());
    Ok(())
}

#[tokio::test]
async fn a_python_without_pip_gets_one_by_venv() -> Result<()> {
    let stage = Stage::new().await?;
    stage.put("bin/python3", WITH_VENV_ONLY)?;
    stage.put("with_pip", WITH_PIP)?;
    let output = stage.run("stack").await?;
    assert!(output.status.success(), "{}", said(&output));
    Ok(())
}

#[tokio::test]
async fn a_failed_download_says_what_was_wrong_and_what_else_can_be_done() -> Result<()> {
    let stage = Stage::new().await?;
    stage.put("bin/python3", OFFLINE)?;
    let output = stage.run("stack").await?;
    let said = said(&output);
    assert!(!output.status.success());
    for words in ["ERROR: no connection", "DATABASE_URL, REDIS_URL and NATS_URL"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(names(&stage.install_dir())?, ["lock", "servers.txt"]);
    Ok(())
}

#[tokio::test]
async fn without_python_the_error_says_what_to_install() -> Result<()> {
    let folder = Folder::new();
    let mut program = devstack_installed_in(&folder.path().join("installed"), folder.path());
    let output = program.env("PATH", "/nowhere").args(["--", "true"]).output().await?;
    let said = said(&output);
    assert!(!output.status.success());
    for words in ["python3 cannot be run", "install python3 with pip", "DATABASE_URL, REDIS_URL and NATS_URL"] {
        assert!(said.contains(words), "{said}");
    }
    Ok(())
}
