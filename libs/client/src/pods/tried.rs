//! The pods at which a stream has failed.

use std::net::SocketAddr;

/// The pods at which a stream has failed since one was last good: each other one is tried before any of them again.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<SocketAddr>);

impl Tried {
    /// A stream has failed there, or was left. If that was so before, all have had their turn, and it begins anew.
    pub fn add(&mut self, address: SocketAddr) {
        if self.0.contains(&address) {
            self.0.clear();
        }
        self.0.push(address);
    }

    /// A stream is good.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Where not to go while there is another.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_fails_again_begins_a_new_round() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut tried = Tried::default();
        tried.add(one);
        tried.add(other);
        assert_eq!(tried.addresses(), [one, other]);
        tried.add(one);
        assert_eq!(tried.addresses(), [one]);
        tried.clear();
        assert!(tried.addresses().is_empty());
    }
}
