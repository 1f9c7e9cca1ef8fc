//! The devstack with the real servers. Those are installed once, below the workspace's `.taskyard`.

mod crash;
mod folder;
mod handles;
mod install;
mod lifetime;
mod program;
mod servers;
