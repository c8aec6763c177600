//! A bucket as the place of files.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::error::FilesError;
use crate::location::S3Location;

/// Prepares the calls of a bucket; none is made.
///
/// # Errors
///
/// [`FilesError::Storage`].
#[cfg(feature = "s3")]
pub(crate) fn open(location: &S3Location) -> Result<Arc<dyn ObjectStore>, FilesError> {
    use std::time::Duration;

    use object_store::aws::AmazonS3Builder;
    use object_store::{ClientOptions, RetryConfig};

    let allow_http = location.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let client = ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        // A download takes as long as its client does; what stands still for this time ends.
        .with_timeout_disabled()
        .with_read_timeout(Duration::from_secs(60));
    let retry =
        RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&location.bucket)
        .with_region(location.region.as_deref().unwrap_or("us-east-1"))
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &location.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(allow_http);
    }
    if let Some((id, secret)) = &location.credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    Ok(Arc::new(builder.build()?))
}

/// Prepares the calls of a bucket.
///
/// # Errors
///
/// [`FilesError::Storage`]: the crate was built without the feature `s3`.
#[cfg(not(feature = "s3"))]
pub(crate) fn open(_: &S3Location) -> Result<Arc<dyn ObjectStore>, FilesError> {
    Err(FilesError::Storage("this program was built without S3".into()))
}
