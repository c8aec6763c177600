//! What a provider says of itself (OpenID Connect Discovery 1.0).

use serde::Deserialize;

use super::OidcError;

/// The part of it that matters here.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Where the provider says it.
    pub(super) fn url(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// # Errors
    ///
    /// [`OidcError::Damaged`], also if it is of another provider (§4.3), or an address has no TLS
    /// although that of the provider has.
    pub(super) fn parse(text: &str, issuer: &str) -> Result<Self, OidcError> {
        let metadata: Self =
            serde_json::from_str(text).map_err(|_| OidcError::Damaged("discovery lacks an address"))?;
        if metadata.issuer != issuer {
            return Err(OidcError::Damaged("discovery is of another issuer than oidc_issuer"));
        }
        let Self {
            authorization_endpoint,
            token_endpoint,
            jwks_uri,
            userinfo_endpoint,
            end_session_endpoint,
            ..
        } = &metadata;
        let needed = [authorization_endpoint, token_endpoint, jwks_uri];
        let mut addresses = needed.into_iter().chain(userinfo_endpoint).chain(end_session_endpoint);
        let is_good = |address: &String| {
            let is_known = address.starts_with("https://")
                || (address.starts_with("http://") && issuer.starts_with("http://"));
            is_known && address.bytes().all(|byte| byte.is_ascii_graphic()) && !address.contains('#')
        };
        if !addresses.all(is_good) {
            return Err(OidcError::Damaged("an address in discovery is not https"));
        }
        drop(addresses);
        Ok(metadata)
    }

    /// Whether the provider takes the secret only in the form. Without a word on it, it takes it in
    /// the header (§3).
    pub(super) fn takes_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|taken| taken == method);
        takes("client_secret_post") && !takes("client_secret_basic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut metadata = serde_json::json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/jwks",
        });
        change(&mut metadata);
        metadata.to_string()
    }

    #[test]
    fn a_provider_is_known_by_its_exact_issuer() {
        let issuer = "https://id.example";
        assert!(Metadata::parse(&with(|_| {}), issuer).is_ok());
        for other in
            ["https://id.example/", "https://ID.example", "http://id.example", "https://evil.example"]
        {
            assert!(Metadata::parse(&with(|all| all["issuer"] = other.into()), issuer).is_err(), "{other}");
        }
        assert!(Metadata::parse("{}", issuer).is_err());
        assert_eq!(Metadata::url(issuer), "https://id.example/.well-known/openid-configuration");
        assert_eq!(
            Metadata::url("https://id.example/a/"),
            "https://id.example/a/.well-known/openid-configuration"
        );
    }

    #[test]
    fn every_address_has_tls() {
        let keys = [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
        ];
        for key in keys {
            for bad in [
                "http://id.example/x",
                "javascript:alert(1)",
                "https://id.example/ x",
                "https://id.example/#x",
            ] {
                let text = with(|all| all[key] = bad.into());
                assert!(Metadata::parse(&text, "https://id.example").is_err(), "{key} {bad}");
            }
        }
        let without = with(|all| {
            all["issuer"] = "http://127.0.0.1".into();
            all["token_endpoint"] = "http://127.0.0.1/token".into();
        });
        assert!(Metadata::parse(&without, "http://127.0.0.1").is_ok());
    }

    #[test]
    fn the_secret_is_in_the_header_unless_only_a_form_is_taken() {
        for (methods, in_form) in [
            (None, false),
            (Some(&["client_secret_basic", "client_secret_post"][..]), false),
            (Some(&["client_secret_post"][..]), true),
            (Some(&["private_key_jwt"][..]), false),
        ] {
            let text = with(|all| all["token_endpoint_auth_methods_supported"] = methods.into());
            let metadata = Metadata::parse(&text, "https://id.example").unwrap();
            assert_eq!(metadata.takes_secret_in_form(), in_form, "{methods:?}");
        }
    }
}
