//! How TLS is spoken with the API server.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{callers::Aggregator, certificate::Identity};

/// Shows this identity, and asks for a certificate that the aggregator's authorities signed. Without one a connection
/// comes to be, so that its requests can be told what is missing.
pub fn server_config(identity: &Identity, aggregator: &Aggregator) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut authorities = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(aggregator.authorities.as_bytes()) {
        authorities.add(authority.context("the aggregator's authorities cannot be read")?)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
        .allow_unauthenticated()
        .build()
        .context("the aggregator's authorities cannot be used")?;
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate cannot be read")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).context("the certificate's key cannot be read")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("the certificate and its key do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
