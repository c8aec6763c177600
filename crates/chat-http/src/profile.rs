//! The profile of the server, as visitors see it.

use std::sync::Arc;
#[cfg(feature = "page")]
use std::sync::OnceLock;

#[cfg(feature = "page")]
use chat_pictures::{ImageFormat, PictureLimits};
use chat_store::ServerProfile;
use sha2::{Digest as _, Sha256};

use crate::hex;
use crate::options::{Accent, HttpOptions};

/// The profile of the server: what administrators have changed, and the settings for the
/// rest.
pub(crate) struct Profile {
    pub(crate) title: String,
    pub(crate) welcome: String,
    pub(crate) accent: Option<Accent>,
    pub(crate) logo: Option<Logo>,
}

impl Profile {
    pub(crate) fn new(changed: ServerProfile, options: &HttpOptions) -> Self {
        Self {
            title: changed.title.unwrap_or_else(|| options.title.clone()),
            welcome: changed.welcome.unwrap_or_else(|| options.welcome.clone()),
            accent: changed.accent.as_deref().and_then(Accent::named).or(options.accent),
            logo: changed.logo.as_deref().and_then(Logo::read),
        }
    }
}

/// A picture of the server. It is small, and stored with the other fields, so that every
/// server on the database and every backup has it.
pub(crate) struct Logo {
    pub(crate) webp: Arc<[u8]>,
    /// Changes with the picture.
    pub(crate) version: String,
    #[cfg(feature = "page")]
    icon: OnceLock<Option<Arc<[u8]>>>,
}

impl Logo {
    /// The text that is stored.
    pub(crate) fn written(webp: &[u8]) -> String {
        hex::encode(webp)
    }

    fn read(written: &str) -> Option<Self> {
        let webp = hex::decode(written)?;
        let version = hex::encode(&Sha256::digest(&webp)[..8]);
        Some(Self {
            webp: webp.into(),
            version,
            #[cfg(feature = "page")]
            icon: OnceLock::new(),
        })
    }

    /// The picture as an icon for phones, which is a PNG: made when it is first asked for, in some
    /// milliseconds. `None` where the picture cannot be decoded.
    #[cfg(feature = "page")]
    pub(crate) fn icon(&self) -> Option<Arc<[u8]>> {
        let made = || chat_pictures::icon(&self.webp, ImageFormat::WebP, ICON_LIMITS).ok().map(Arc::from);
        self.icon.get_or_init(made).clone()
    }

    /// The path of the picture below the server's root.
    pub(crate) fn address(&self) -> String {
        format!("/api/server/logo?v={}", self.version)
    }
}

/// A logo was made small when it was stored: at most 256 pixels on a side.
#[cfg(feature = "page")]
const ICON_LIMITS: PictureLimits = PictureLimits { pixels_max: 1 << 16, side_max: 256, memory_max: 16 << 20 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_hold_where_nothing_was_changed() {
        let options = HttpOptions {
            title: "Set".to_owned(),
            welcome: "Hello".to_owned(),
            accent: Some(Accent::Teal),
            ..HttpOptions::default()
        };
        let profile = Profile::new(ServerProfile::default(), &options);
        assert_eq!(
            (&*profile.title, &*profile.welcome, profile.accent),
            ("Set", "Hello", Some(Accent::Teal))
        );
        assert!(profile.logo.is_none());

        let changed = ServerProfile {
            title: Some("Changed".to_owned()),
            welcome: Some(String::new()),
            accent: Some("pink".to_owned()),
            logo: Some(Logo::written(b"picture")),
        };
        let profile = Profile::new(changed, &options);
        assert_eq!((&*profile.title, &*profile.welcome, profile.accent), ("Changed", "", Some(Accent::Pink)));
        let logo = profile.logo.expect("a logo");
        assert_eq!(&*logo.webp, b"picture");
        assert!(logo.address().starts_with("/api/server/logo?v="));
        #[cfg(feature = "page")]
        assert_eq!(logo.icon(), None, "it is no picture");
    }
}
