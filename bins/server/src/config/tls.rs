//! TLS: where its certificate comes from.

use std::path::Path;

use chat_http::PublicUrl;

use crate::settings::{self, Given, SettingError};
use crate::tls::{AcmeOptions, CertificateFiles, LETS_ENCRYPT, TlsSource};

/// Reads the settings of TLS. `None`: a proxy in front has it, or nobody.
pub(super) fn tls(
    given: &Given,
    data_dir: &Path,
    public_url: Option<&PublicUrl>,
) -> Result<Option<TlsSource>, SettingError> {
    let (certificate, key) = (given.path(&settings::TLS_CERTIFICATE), given.path(&settings::TLS_KEY));
    let acme = acme(given, data_dir)?;
    let source = match (certificate, key, acme) {
        (Some(certificate), Some(key), None) => {
            Some(TlsSource::Files(CertificateFiles::new(certificate, key)))
        }
        (None, None, Some(acme)) => Some(TlsSource::Acme(acme)),
        (None, None, None) => None,
        (Some(_), None, None) => return Err(given.invalid(&settings::TLS_CERTIFICATE, "needs tls_key, too")),
        (None, Some(_), None) => return Err(given.invalid(&settings::TLS_KEY, "needs tls_certificate, too")),
        (_, _, Some(_)) => {
            let message = "must not be set beside tls_certificate and tls_key";
            return Err(given.invalid(&settings::ACME_DOMAINS, message));
        }
    };
    let has_http = given.text(&settings::HTTP_LISTEN)?.is_some();
    match &source {
        None if has_http => {
            let message = "needs tls_certificate and tls_key, or acme_domains: listen has HTTP already";
            return Err(given.invalid(&settings::HTTP_LISTEN, message));
        }
        Some(TlsSource::Acme(_)) if !has_http => {
            let message = "needs http_listen, which the certificate authority must reach on port 80";
            return Err(given.invalid(&settings::ACME_DOMAINS, message));
        }
        _ => {}
    }
    if source.is_some() && public_url.is_some_and(|url| !url.is_https()) {
        return Err(given.invalid(&settings::PUBLIC_URL, "must begin with https://, as the server has TLS"));
    }
    Ok(source)
}

fn acme(given: &Given, data_dir: &Path) -> Result<Option<AcmeOptions>, SettingError> {
    let email = given.text(&settings::ACME_EMAIL)?;
    let directory = given.text(&settings::ACME_DIRECTORY)?;
    let root = given.path(&settings::ACME_ROOT);
    let Some(text) = given.text(&settings::ACME_DOMAINS)? else {
        let others = [
            (&settings::ACME_EMAIL, email.is_some()),
            (&settings::ACME_DIRECTORY, directory.is_some()),
            (&settings::ACME_ROOT, root.is_some()),
        ];
        return match others.into_iter().find(|(_, is_given)| *is_given) {
            Some((setting, _)) => Err(given.invalid(setting, "needs acme_domains")),
            None => Ok(None),
        };
    };
    let domains: Vec<String> = text.split(',').map(|domain| domain.trim().to_ascii_lowercase()).collect();
    if let Some(domain) = domains.iter().find(|domain| !is_domain(domain)) {
        let message =
            format!("{domain:?} is no host name such as chat.example.org (others than ASCII as xn--…)");
        return Err(given.invalid(&settings::ACME_DOMAINS, message));
    }
    if domains.len() > DOMAINS_MAX {
        return Err(given.invalid(&settings::ACME_DOMAINS, format!("must be at most {DOMAINS_MAX}")));
    }
    if email.is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace)) {
        return Err(given.invalid(&settings::ACME_EMAIL, "must look like someone@example.org"));
    }
    if directory.is_some_and(|url| !url.starts_with("https://")) {
        return Err(given.invalid(&settings::ACME_DIRECTORY, "must begin with https://"));
    }
    Ok(Some(AcmeOptions {
        domains,
        email: email.map(str::to_owned),
        directory: directory.unwrap_or(LETS_ENCRYPT).to_owned(),
        root,
        data_dir: data_dir.to_owned(),
    }))
}

/// Whether this is a host name (RFC 1123 §2.1), and no address: their challenges differ.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.len() <= 253 && domain.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Let's Encrypt takes as many for one certificate.
const DOMAINS_MAX: usize = 100;
