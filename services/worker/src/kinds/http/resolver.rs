//! Resolves names and lets only reachable addresses through: what was checked is what is connected to.

use std::{io, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::reach::Reach;

/// Resolves names to reachable addresses.
pub(super) struct Resolver(pub Arc<Reach>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let mut reachable = Vec::new();
            let mut refused = None;
            // The port is the URL's; 0 says so.
            for address in tokio::net::lookup_host((name.as_str(), 0)).await? {
                match reach.check(address.ip()) {
                    Ok(()) => reachable.push(address),
                    Err(why) => refused = Some(why.named(name.as_str())),
                }
            }
            match refused {
                Some(refused) if reachable.is_empty() => Err(refused.into()),
                _ if reachable.is_empty() => {
                    Err(io::Error::new(io::ErrorKind::NotFound, format!("`{}` has no address", name.as_str())).into())
                }
                _ => Ok(Box::new(reachable.into_iter()) as Addrs),
            }
        })
    }
}
