//! The charts on a real cluster: whichever KUBECONFIG leads to, with the image that TASKYARD_IMAGE names, which must be
//! there or be pulled. It is built with the fault points (`make cluster-image`).
//!
//! Each test has a namespace of its own, which enforces Pod Security "restricted", and removes it. The gateway is called
//! at its Service's address; where that leads nowhere from here (kind), TASKYARD_CLUSTER_URL names what does, such as
//! the node port of k8s/kind.yaml.

mod apply;
mod faults;
mod install;
mod load;
mod names;
mod network;
mod scaling;
mod space;
mod tilt;
mod upgrade;
