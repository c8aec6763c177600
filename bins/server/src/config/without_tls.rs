//! The settings of TLS in a server that is compiled without it.

use std::path::Path;

use chat_http::PublicUrl;

use crate::settings::{self, Given, SettingError};
use crate::tls::{TlsSource, WITHOUT_TLS};

/// Refuses the settings of TLS.
pub(super) fn tls(
    given: &Given,
    _data_dir: &Path,
    _public_url: Option<&PublicUrl>,
) -> Result<Option<TlsSource>, SettingError> {
    for setting in [&settings::TLS_CERTIFICATE, &settings::TLS_KEY, &settings::ACME_ROOT] {
        if given.path(setting).is_some() {
            return Err(given.invalid(setting, WITHOUT_TLS));
        }
    }
    let texts = [&settings::ACME_DOMAINS, &settings::ACME_EMAIL, &settings::ACME_DIRECTORY];
    for setting in texts.into_iter().chain([&settings::HTTP_LISTEN]) {
        if given.text(setting)?.is_some() {
            return Err(given.invalid(setting, WITHOUT_TLS));
        }
    }
    // These settings name addresses that the server asks by https.
    for setting in [&settings::EXTERNAL_JWKS_URL, &settings::OIDC_ISSUER] {
        if given.text(setting)?.is_some_and(|url| url.starts_with("https:")) {
            return Err(given.invalid(setting, WITHOUT_TLS));
        }
    }
    Ok(None)
}
