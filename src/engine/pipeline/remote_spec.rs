//! `remote:` in pipeline.yaml: an address alone, or a mapping with options. What an address may be
//! is decided by whoever connects it.

use std::env;

use seedpipe_base::Refusal;
use serde_yaml::{Mapping, Value as Yaml};

use crate::base::yaml::{self, describe};
use crate::pipeline::spec::{check_keys, text};

const KEY: &str = "remote";
const KEYS: [&str; 2] = ["url", "write"];
const VARIABLE: &str = "SEEDPIPE_REMOTE";

/// Who named a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteOrigin {
    /// pipeline.yaml: a relative folder starts at its folder.
    Pipeline,
    /// SEEDPIPE_REMOTE: a relative folder starts at the current one.
    Environment,
}

/// A remote as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSpec {
    pub url: String,
    /// Whether a run pushes what it executed.
    pub write: bool,
    pub origin: RemoteOrigin,
}

/// What SEEDPIPE_REMOTE names.
pub(crate) fn of_environment() -> Option<RemoteSpec> {
    let url = env::var(VARIABLE).ok().filter(|url| !url.is_empty())?;
    Some(RemoteSpec {
        url,
        write: false,
        origin: RemoteOrigin::Environment,
    })
}

/// The key's value, where the pipeline has it.
pub(crate) fn read(place: &str, top: &Mapping) -> Result<Option<RemoteSpec>, Refusal> {
    let error = |key: &str, message: String| Refusal::new(message).place(place).key(key);
    let spec = |url: String, write: bool| RemoteSpec {
        url,
        write,
        origin: RemoteOrigin::Pipeline,
    };
    let entries = match top.get(KEY) {
        None | Some(Yaml::Null) => return Ok(None),
        Some(Yaml::String(url)) if !url.is_empty() => return Ok(Some(spec(url.clone(), false))),
        Some(Yaml::Mapping(entries)) => entries,
        Some(value) => {
            let message = format!("expected an address or a mapping, got {}", describe(value));
            return Err(error(KEY, message)
                .hint("write `remote: s3://bucket/prefix` or `remote: {url: …, write: true}`"));
        }
    };
    check_keys(entries, &KEYS).map_err(|(key, hint)| {
        error(&format!("{KEY}.{key}"), "unknown key".to_owned()).hint(hint)
    })?;
    let url = text(entries, "url").map_err(|message| error("remote.url", message))?;
    let url = url.ok_or_else(|| {
        error("remote.url", "missing key".to_owned())
            .hint("add `url: s3://bucket/prefix`, or a folder")
    })?;
    let write: Result<Option<bool>, Refusal> = entries.get("write").map_or(Ok(None), yaml::read);
    let write = write.map_err(|refusal| refusal.place(place).key("remote.write"))?;
    Ok(Some(spec(url, write.unwrap_or(false))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<RemoteSpec>, String> {
        let document: Yaml = serde_yaml::from_str(text).unwrap();
        read("pipeline.yaml", document.as_mapping().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_alone_is_read_only_and_a_mapping_may_write() {
        let spec = |write| RemoteSpec {
            url: "s3://b/p".to_owned(),
            write,
            origin: RemoteOrigin::Pipeline,
        };
        assert_eq!(parse("remote: s3://b/p"), Ok(Some(spec(false))));
        assert_eq!(
            parse("remote: {url: s3://b/p, write: true}"),
            Ok(Some(spec(true)))
        );
        assert_eq!(parse("seed: 1"), Ok(None));
    }

    #[test]
    fn wrong_remotes_are_refused_with_the_key() {
        for (text, expected) in [
            (
                "remote: 3",
                "pipeline.yaml: key `remote`: expected an address or a mapping, got `3`",
            ),
            (
                "remote: {ulr: x}",
                "pipeline.yaml: key `remote.ulr`: unknown key\nhint: did you mean `url`?",
            ),
            (
                "remote: {write: true}",
                "pipeline.yaml: key `remote.url`: missing key",
            ),
            (
                "remote: {url: x, write: 1}",
                "pipeline.yaml: key `remote.write`: expected `true` or `false`, got 1\nhint: write true",
            ),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
