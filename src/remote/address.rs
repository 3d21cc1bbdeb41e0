//! Where a remote is, as people write it. Parsing touches neither network nor disk, and keeps no
//! credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use seedpipe_base::Refusal;
use url::Url;

use crate::secrets::Secrets;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) place: RemoteSort,
}

/// The sort of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemoteSort {
    Folder(PathBuf),
    Amazon(Url),
    Google(Url),
    Azure(Url),
    Http(Url),
}

fn no_credentials() -> Refusal {
    Refusal::expected("a URL without user name and password", "one with them")
        .hint("leave them out; credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

impl Address {
    /// - `folder`: where a relative path starts
    ///
    /// # Errors
    /// When the text is no remote, or holds credentials. The message does not repeat it: it may
    /// hold a password.
    pub fn parse(text: &str, folder: &Path) -> Result<Address, Refusal> {
        if text.is_empty() {
            return Err(Refusal::expected("a folder or a URL", "an empty text")
                .hint("name one, such as `s3://bucket/prefix`"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            if is_meant_as_url(text) {
                return Err(Refusal::expected(
                    "a folder, or a URL that begins with `s3://` or the like",
                    "a text that begins like a URL and is none",
                )
                .hint("write `://` after the scheme; a folder with `:` in its name is written `./NAME`"));
            }
            return Ok(Address {
                place: RemoteSort::Folder(folder.join(text)),
            });
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            return match rest.starts_with('/') {
                true => Ok(Address {
                    place: RemoteSort::Folder(PathBuf::from(rest)),
                }),
                false => Ok(Address {
                    place: RemoteSort::Folder(folder.join(rest)),
                }),
            };
        }
        let make = match scheme.as_str() {
            "s3" | "s3a" => RemoteSort::Amazon,
            "gs" => RemoteSort::Google,
            "az" | "azure" | "abfs" | "abfss" => RemoteSort::Azure,
            "http" | "https" => RemoteSort::Http,
            _ => {
                // What comes before `://` may be anything, a password too.
                let is_plain =
                    scheme.len() <= 20 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
                return Err(Refusal::expected(
                    "one of `s3://`, `gs://`, `az://`, `https://`, `http://`, `file://` or a folder",
                    match is_plain {
                        true => format!("`{scheme}://`"),
                        false => "another beginning".to_owned(),
                    },
                )
                .hint("correct the beginning of the URL"));
            }
        };
        // Before the URL is parsed: a password with odd letters may make it none.
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') && !scheme.starts_with("abfs") {
            return Err(no_credentials());
        }
        let url = Url::parse(text).map_err(|error| {
            Refusal::expected("a URL", format!("a text that is none: {error}"))
                .hint("write it as `s3://bucket/prefix`, or name a folder")
        })?;
        if url.password().is_some() {
            return Err(no_credentials());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                Refusal::expected("a URL that ends with its path", "one with `?` or `#`")
                    .hint("leave that out; options and credentials come from the environment"),
            );
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Refusal::expected("a URL with a bucket or a host", "none")
                .hint(format!("write it as `{scheme}://NAME/prefix`")));
        }
        Ok(Address { place: make(url) })
    }

    /// Whether it can be written to: HTTP can't.
    pub fn is_writable(&self) -> bool {
        !matches!(self.place, RemoteSort::Http(_))
    }
}

/// `https:/host`, `user:password@host`, `//host`: nobody calls a folder so.
fn is_meant_as_url(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    text.starts_with("//") || (first.contains(':') && !first.starts_with('.'))
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            // It may be a URL whose scheme was forgotten.
            RemoteSort::Folder(path) => {
                formatter.write_str(&Secrets::default().hide(&path.display().to_string()))
            }
            RemoteSort::Amazon(url)
            | RemoteSort::Google(url)
            | RemoteSort::Azure(url)
            | RemoteSort::Http(url) => formatter.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, Refusal> {
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
            ("/srv/10:30", "/srv/10:30", true),
            ("./10:30", "/home/pipeline/./10:30", true),
            ("S3://bucket", "s3://bucket", true),
            // Without its scheme it is a folder, which won't be there.
            (
                "host/x?sig=hunter2",
                "/home/pipeline/host/x?sig=[hidden]",
                true,
            ),
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
            "HTTPS://user:hunter2@host/x",
            "htps://user:hunter2@host/x",
            "user:hunter2@https://host/x",
            "https:/user:hunter2@host/x",
            "https:user:hunter2@host/x",
            "//user:hunter2@host/x",
            "user:hunter2@host/x",
            "s3:AKIA:hunter2@bucket",
            "s3://AKIA:hun/hunter2@bucket/x",
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
        for (text, expected) in [
            ("", "expected a folder or a URL, got an empty text\nhint: "),
            ("ftp://host/x", "or a folder, got `ftp://`\nhint: "),
            ("s3:///x", "expected a URL"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
