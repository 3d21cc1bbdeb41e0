//! Objects that several machines share: in S3, Google Cloud Storage or Azure, read-only over
//! HTTP(S), or in a folder.
//!
//! The only crate with async code: inside is a small tokio runtime, outside every call blocks and
//! may come from any thread. It knows nothing of stages, artifacts or digests; it carries bytes
//! under keys. Credentials come from the usual environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`) and are
//! taken out of every message.
//!
//! What `seedpipe` keeps there, content-addressed and readable without listing, since plain HTTP
//! has none:
//!
//! ```text
//! seedpipe/v1/blobs/<first 2 digits>/<BLAKE3 of the file>                    an artifact's file
//! seedpipe/v1/artifacts/<fingerprint>/<first 16 digits of content>.json      a manifest, as in the cache
//! seedpipe/v1/artifacts/<fingerprint>/index.json                             the contents of that fingerprint, newest last
//! ```
//!
//! Blobs are written first, then the manifest, then the index: whoever dies midway leaves nothing
//! that counts.

mod address;
mod connect;
mod error;
mod folder_file;
mod objects;
mod patience;
mod secrets;

pub use address::Address;
pub use error::RemoteError;
pub use objects::Objects;
pub use secrets::without_credentials;
