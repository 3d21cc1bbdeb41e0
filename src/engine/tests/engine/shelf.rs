//! A remote in memory, which can be tampered with, go away, or die after some writes.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Result, bail};
use seedpipe_engine::{Digest, Remote};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    requests: usize,
    /// Writes that still succeed.
    writes_left: Option<usize>,
    /// Fetches that still succeed.
    fetches_left: Option<usize>,
    is_down: bool,
    read_only: bool,
}

/// A remote in memory; clones share it.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<State>>);

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// One request.
    fn ask(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.requests += 1;
        if state.is_down {
            bail!("remote `shelf`: connecting: no answer");
        }
        Ok(state)
    }

    pub fn requests(&self) -> usize {
        self.state().requests
    }

    pub fn go_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    pub fn make_read_only(&self) {
        self.state().read_only = true;
    }

    pub fn die_after_writes(&self, writes: Option<usize>) {
        self.state().writes_left = writes;
    }

    pub fn die_after_fetches(&self, fetches: Option<usize>) {
        self.state().fetches_left = fetches;
    }

    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The only key with both texts in it.
    pub fn key(&self, start: &str, end: &str) -> String {
        let keys = self.keys();
        let mut fitting = keys
            .iter()
            .filter(|key| key.starts_with(start) && key.ends_with(end));
        let key = fitting
            .next()
            .unwrap_or_else(|| panic!("no {start}…{end} in {keys:?}"));
        assert_eq!(fitting.next(), None);
        key.clone()
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.state().objects[key].clone()
    }

    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.state().objects.insert(key.to_owned(), bytes.into());
    }

    pub fn take(&self, key: &str) {
        self.state().objects.remove(key).unwrap();
    }

    /// Replaces text in a manifest and makes its checksum fit, as a liar would.
    pub fn falsify(&self, key: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.get(key)).unwrap();
        let (body, _) = text.rsplit_once(",\n  \"~checksum\": ").unwrap();
        assert!(body.contains(from), "`{from}` is not in {body}");
        let body = body.replace(from, to);
        let checksum = Digest::of(body.as_bytes());
        self.put(
            key,
            format!("{body},\n  \"~checksum\": \"{checksum}\"\n}}\n"),
        );
    }
}

impl Remote for Shelf {
    fn name(&self) -> String {
        "shelf".to_owned()
    }

    fn is_writable(&self) -> bool {
        !self.state().read_only
    }

    fn length(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.ask()?.objects.get(key).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let state = self.ask()?;
        let bytes = state.objects.get(key);
        if bytes.is_some_and(|bytes| bytes.len() as u64 > limit) {
            bail!("remote `shelf`: reading `{key}`: expected at most {limit} bytes");
        }
        Ok(bytes.cloned())
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let mut state = self.ask()?;
        if let Some(left) = &mut state.fetches_left {
            let Some(fewer) = left.checked_sub(1) else {
                bail!("remote `shelf`: reading `{key}`: connection reset");
            };
            *left = fewer;
        }
        let Some(bytes) = state.objects.get(key).cloned() else {
            return Ok(false);
        };
        drop(state);
        for piece in bytes.chunks(2) {
            if !sink(piece) {
                break;
            }
        }
        Ok(true)
    }

    fn write(&self, key: &str, _length: u64, source: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        let mut state = self.ask()?;
        if let Some(left) = &mut state.writes_left {
            let Some(fewer) = left.checked_sub(1) else {
                bail!("remote `shelf`: writing `{key}`: connection reset");
            };
            *left = fewer;
        }
        state.objects.insert(key.to_owned(), bytes);
        Ok(())
    }

    fn change(
        &self,
        key: &str,
        _limit: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<()> {
        let old = self.ask()?.objects.get(key).cloned();
        if let Some(new) = change(old) {
            self.write(key, 0, &mut new.as_slice())?;
        }
        Ok(())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let state = self.ask()?;
        let names = state
            .objects
            .keys()
            .filter_map(|key| key.strip_prefix(folder)?.strip_prefix('/'));
        Ok(names
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }
}
