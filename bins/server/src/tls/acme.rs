//! A certificate of a certificate authority, by ACME (RFC 8555) with http-01 challenges.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_http::AcmeChallenges;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::Signal;

use super::CurrentCertificate;
use super::certificate::Certificate;
use crate::folder::private_folder;
use crate::part_file::PartFile;

/// The directory of Let's Encrypt.
pub(crate) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The certificate that is ordered, and the authority that it is ordered from.
#[derive(Debug, Clone)]
pub(crate) struct AcmeOptions {
    /// The host names of the certificate.
    pub(crate) domains: Vec<String>,
    /// Where the authority writes to before a certificate ends.
    pub(crate) email: Option<String>,
    /// The URL of the authority's directory.
    pub(crate) directory: String,
    /// A certificate in PEM by which the authority's own is checked; `None`: those that the
    /// system trusts.
    pub(crate) root: Option<PathBuf>,
    /// The folder of the data, in which keys and certificates are kept.
    pub(crate) data_dir: PathBuf,
}

/// The account at the certificate authority, and its certificates.
pub(super) struct Acme {
    options: AcmeOptions,
    challenges: AcmeChallenges,
    /// The account's key and the certificate with its key. Each authority has its own folder, so
    /// that an account at one is never used at another.
    folder: PathBuf,
}

type Failed = Box<dyn std::error::Error>;

impl Acme {
    /// # Errors
    /// A sentence, if the folder cannot be made.
    pub(super) fn open(options: AcmeOptions, challenges: AcmeChallenges) -> Result<Self, String> {
        let hash = Sha256::digest(options.directory.as_bytes());
        let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = options.data_dir.join("acme").join(name);
        private_folder(&folder)?;
        Ok(Self { options, challenges, folder })
    }

    /// The certificate that was issued last, if it is for the domains.
    pub(super) fn kept(&self) -> Option<Certificate> {
        // The key is the first part of the file, the chain the rest.
        let pem = fs::read(self.certificate_file()).ok()?;
        let certificate = Certificate::from_pem(&pem, &pem).ok()?;
        let is_for = |domain: &String| certificate.names.contains(domain);
        self.options.domains.iter().all(is_for).then_some(certificate)
    }

    /// Orders a certificate when there is none, and when a third of the lifetime of the current
    /// one is left. After a failure it waits longer each time; a SIGHUP ends the wait. Never
    /// resolves.
    pub(super) async fn keep_ordering(self, current: &CurrentCertificate, mut hangup: Signal) {
        let mut failures = 0;
        loop {
            let wait = match self.kept().map_or(Duration::ZERO, |kept| until_renewal(&kept)) {
                Duration::ZERO => match self.order().await {
                    Ok(certificate) => {
                        failures = 0;
                        current.replace(certificate);
                        PAUSE_MIN
                    }
                    Err(error) => {
                        let wait = pause_after(failures);
                        failures += 1;
                        let (error, seconds) = (crate::sentence(error.as_ref()), wait.as_secs());
                        tracing::error!(
                            %error,
                            retry_after_seconds = seconds,
                            "the certificate authority has issued no certificate"
                        );
                        wait
                    }
                },
                // Also the clock may be set.
                wait => wait.min(CHECK_EVERY),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = hangup.recv() => {}
            }
        }
    }

    /// Gets a certificate, and keeps it.
    async fn order(&self) -> Result<Certificate, Failed> {
        tokio::time::timeout(ORDER_MAX, self.try_order())
            .await
            .map_err(|_| "the certificate authority did not finish in time")?
    }

    async fn try_order(&self) -> Result<Certificate, Failed> {
        let AcmeOptions { domains, directory, .. } = &self.options;
        tracing::info!(domains = domains.join(", "), directory, "ordering a certificate");
        let account = self.account().await?;
        let identifiers: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut answered = Answered { challenges: &self.challenges, tokens: Vec::new() };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or("the certificate authority offers no http-01 challenge")?;
            answered.add(&challenge.token, challenge.key_authorization().as_str());
            challenge.set_ready().await?;
        }
        let policy = RetryPolicy::new().timeout(POLL_MAX);
        if let status @ (OrderStatus::Invalid | OrderStatus::Pending) = order.poll_ready(&policy).await? {
            // The authorizations know why.
            let mut reason = format!("the order is {status:?}");
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                let challenges = &authorization.refresh().await?.challenges;
                if let Some(problem) = challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
                    reason = problem.to_string();
                }
            }
            return Err(reason.into());
        }
        drop(answered);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(domains.clone())?;
        params.distinguished_name = DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&policy).await?;
        let pem = format!("{}{chain}", key.serialize_pem());
        let certificate = Certificate::from_pem(pem.as_bytes(), pem.as_bytes())?;
        write_privately(&self.certificate_file(), pem.as_bytes())?;
        Ok(certificate)
    }

    /// The account, which is made at the first call.
    async fn account(&self) -> Result<Account, Failed> {
        let file = self.folder.join("account.json");
        if let Ok(text) = fs::read(&file) {
            let credentials: AccountCredentials = serde_json::from_slice(&text)?;
            return Ok(self.builder()?.from_credentials(credentials).await?);
        }
        let contact = self.options.email.as_ref().map(|email| format!("mailto:{email}"));
        let new = NewAccount {
            contact: &contact.iter().map(String::as_str).collect::<Vec<_>>(),
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.options.directory.clone();
        let (account, credentials) = self.builder()?.create(&new, directory, None).await?;
        write_privately(&file, &serde_json::to_vec(&credentials)?)?;
        Ok(account)
    }

    fn builder(&self) -> Result<AccountBuilder, instant_acme::Error> {
        match &self.options.root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        }
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

/// The challenges of one order, which are answered until this is dropped.
struct Answered<'a> {
    challenges: &'a AcmeChallenges,
    tokens: Vec<String>,
}

impl Answered<'_> {
    fn add(&mut self, token: &str, key_authorization: &str) {
        self.challenges.add(token, key_authorization);
        self.tokens.push(token.to_owned());
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            self.challenges.remove(token);
        }
    }
}

/// The time until a third of the lifetime is left, from now on.
fn until_renewal(certificate: &Certificate) -> Duration {
    let third = (certificate.not_after_s - certificate.not_before_s) / 3;
    let left = certificate.not_after_s - third - Timestamp::now().as_second();
    Duration::from_secs(u64::try_from(left).unwrap_or_default())
}

/// The pause after a failure, of which there were `before` others. Let's Encrypt allows five
/// failures of a name within an hour.
fn pause_after(before: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << before.min(16)).min(RETRY_MAX)
}

/// Writes a file as a whole, for this user only.
fn write_privately(file: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let part = PartFile::create(file.with_extension("part"))?;
    fs::write(part.path(), bytes)?;
    fs::File::open(part.path())?.sync_all()?;
    part.become_file(file)
}

/// The longest wait before the end of the certificate is looked at again.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// The pause behind an order, whatever it brought.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_secs(120);
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long an authority may take for a step, and for all of them.
const POLL_MAX: Duration = Duration::from_secs(120);
const ORDER_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_get_longer_and_five_failures_take_half_an_hour_at_least() {
        let pauses: Vec<u64> = (0..10).map(|before| pause_after(before).as_secs()).collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1920, 3840, 7680, 15_360, 21_600, 21_600]);
    }
}
