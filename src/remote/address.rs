//! Where a remote is, as people write it. Parsing touches neither network nor disk, and keeps no credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) place: Place,
}

/// The sort of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Amazon(Url),
    Google(Url),
    Azure(Url),
    Http(Url),
}

/// Why a text is no address. The text itself is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "expected a folder or a URL, got an empty text\nhint: name one, such as `s3://bucket/prefix`"
    )]
    Empty,
    #[error(
        "expected a URL without user name and password, got one with them\nhint: leave them out; credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials,
    #[error(
        "expected a URL that ends with its path, got one with `?` or `#`\nhint: leave that out; options and credentials come from the environment"
    )]
    Query,
    #[error(
        "expected one of `s3://`, `gs://`, `az://`, `https://`, `http://`, `file://` or a folder, got `{0}://`\nhint: correct the beginning of the URL"
    )]
    Scheme(String),
    #[error(
        "expected a URL with a bucket or a host, got none\nhint: write it as `{0}://NAME/prefix`"
    )]
    Host(String),
    #[error(
        "expected a URL, got a text that is none: {0}\nhint: write it as `s3://bucket/prefix`, or name a folder"
    )]
    Form(String),
}

impl Address {
    /// - `folder`: where a relative path starts
    ///
    /// # Errors
    /// When the text is no remote, or holds credentials.
    pub fn parse(text: &str, folder: &Path) -> Result<Address, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Address {
                place: Place::Folder(folder.join(text)),
            });
        };
        if scheme == "file" {
            return match rest.starts_with('/') {
                true => Ok(Address {
                    place: Place::Folder(PathBuf::from(rest)),
                }),
                false => Ok(Address {
                    place: Place::Folder(folder.join(rest)),
                }),
            };
        }
        let make = match scheme {
            "s3" | "s3a" => Place::Amazon,
            "gs" => Place::Google,
            "az" | "azure" | "abfs" | "abfss" => Place::Azure,
            "http" | "https" => Place::Http,
            _ => return Err(AddressError::Scheme(scheme.chars().take(20).collect())),
        };
        // Before the URL is parsed: a password with odd letters may make it none.
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') && !scheme.starts_with("abfs") {
            return Err(AddressError::Credentials);
        }
        let url = Url::parse(text).map_err(|error| AddressError::Form(error.to_string()))?;
        if url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Query);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(AddressError::Host(scheme.to_owned()));
        }
        Ok(Address { place: make(url) })
    }

    /// Whether it can be written to: HTTP can't.
    pub fn is_writable(&self) -> bool {
        !matches!(self.place, Place::Http(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(path) => write!(formatter, "{}", path.display()),
            Place::Amazon(url) | Place::Google(url) | Place::Azure(url) | Place::Http(url) => {
                formatter.write_str(url.as_str().trim_end_matches('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, AddressError> {
        Address::parse(text, Path::new("/home/pipeline"))
    }

    #[test]
    fn urls_and_folders_are_told_apart() {
        for (text, shown, writable) in [
            ("s3://bucket/prefix/", "s3://bucket/prefix", true),
            ("gs://bucket", "gs://bucket", true),
            ("az://container/a/b", "az://container/a/b", true),
            ("https://host:8443/x", "https://host:8443/x", false),
            ("http://127.0.0.1:80", "http://127.0.0.1", false),
            ("file:///srv/remote", "/srv/remote", true),
            ("shared/remote", "/home/pipeline/shared/remote", true),
            ("/srv/a b", "/srv/a b", true),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.is_writable()),
                (shown, writable)
            );
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_never_repeated() {
        for text in [
            "https://user:hunter2@host/x",
            "https://user:hunter2/@host/x",
            "s3://AKIA:hunter2@bucket/x",
            "s3://AKIA@bucket",
            "https://host/x?sig=hunter2",
            "https://host/x#hunter2",
            "https://user:hunter2@ho st/x",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(
                !message.contains("hunter2") && !message.contains("AKIA"),
                "{message}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_expected() {
        assert_eq!(parse(""), Err(AddressError::Empty));
        assert_eq!(
            parse("ftp://host/x"),
            Err(AddressError::Scheme("ftp".to_owned()))
        );
        assert!(matches!(
            parse("s3:///x"),
            Err(AddressError::Host(_) | AddressError::Form(_))
        ));
    }
}
