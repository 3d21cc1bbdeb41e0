//! From an address to a store of the `object_store` crate, with the environment's options and
//! credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use crate::address::{Address, RemoteSort};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole request, body included: large objects take long. `objects` bounds every pause
/// instead.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// A store and where in it the keys start.
pub(crate) struct StoreRoot {
    pub store: Arc<dyn ObjectStore>,
    pub prefix: String,
    /// Set for a folder.
    pub folder: Option<PathBuf>,
}

/// - `create`: whether a folder that isn't there is made
pub(crate) fn connect(
    address: &Address,
    create: bool,
) -> Result<StoreRoot, Box<dyn std::error::Error>> {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let (connect_timeout, timeout) = (seconds(CONNECT_TIMEOUT), seconds(REQUEST_TIMEOUT));
    let connection = |store: Arc<dyn ObjectStore>, prefix: &str| StoreRoot {
        store,
        prefix: prefix.trim_matches('/').to_owned(),
        folder: None,
    };
    // The builders have methods of the same names, and no trait.
    macro_rules! in_bucket {
        ($builder:ident, $key:ident, $url:expr) => {{
            let store = $builder::from_env()
                .with_url($url.as_str())
                .with_config(
                    $key::Client(ClientConfigKey::ConnectTimeout),
                    connect_timeout,
                )
                .with_config($key::Client(ClientConfigKey::Timeout), timeout)
                .with_retry(retry())
                .build()?;
            connection(Arc::new(store), $url.path())
        }};
    }
    Ok(match &address.place {
        RemoteSort::Folder(path) => in_folder(path, create)?,
        RemoteSort::Amazon(url) => in_bucket!(AmazonS3Builder, AmazonS3ConfigKey, url),
        RemoteSort::Google(url) => in_bucket!(GoogleCloudStorageBuilder, GoogleConfigKey, url),
        RemoteSort::Azure(url) => in_bucket!(MicrosoftAzureBuilder, AzureConfigKey, url),
        RemoteSort::Http(url) => {
            let options = ClientOptions::new()
                .with_allow_http(true)
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_timeout(REQUEST_TIMEOUT);
            let store = HttpBuilder::new()
                .with_url(url.as_str())
                .with_client_options(options)
                .with_retry(retry())
                .build()?;
            connection(Arc::new(store), "")
        }
    })
}

/// One level is made and no more: a mount that is not there must not become a folder of that name.
fn in_folder(path: &Path, create: bool) -> Result<StoreRoot, Box<dyn std::error::Error>> {
    if create && !path.exists() {
        fs_err::create_dir(path)?;
    }
    if !path.is_dir() {
        return Err("expected a folder, got none there".into());
    }
    let store = LocalFileSystem::new_with_prefix(path)?;
    Ok(StoreRoot {
        store: Arc::new(store),
        prefix: String::new(),
        folder: Some(path.to_owned()),
    })
}

/// Short: a run that can't reach its remote goes on without it.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(20),
    }
}
