//! Joins the engine's idea of a remote with the crate that carries the bytes. Connects with the
//! first question, so that a command that asks nothing starts no runtime and no request.

use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::{Project, Remote, RemoteOrigin, RemoteSpec};
use seedpipe_remote::{Address, Objects, RemoteError};

/// The remote that the command line, the pipeline or the environment names, in this order; and
/// whether a run writes to it.
///
/// - `create`: whether a folder that isn't there is made
///
/// # Errors
/// When what is named is no remote: [`Refusal`].
pub fn choose(
    project: &Project,
    named: Option<&str>,
    create: bool,
) -> Result<Option<(LazyRemote, bool)>> {
    if let Some(named) = named {
        let address = Address::parse(named, Path::new(""));
        let address = address.map_err(|refusal| refusal.place("--remote"))?;
        return Ok(Some((LazyRemote::new(address, create), false)));
    }
    let Some(spec) = project.remote() else {
        return Ok(None);
    };
    let placed = |refusal: Refusal| match spec.origin {
        RemoteOrigin::Pipeline => refusal
            .place(project.path().display().to_string())
            .key("remote"),
        RemoteOrigin::Environment => refusal.place("SEEDPIPE_REMOTE"),
    };
    let address = Address::parse(&spec.url, start_of(project, spec)).map_err(placed)?;
    if spec.write && !address.is_writable() {
        let message =
            format!("expected a remote that can be written, got `{address}`, which is read-only");
        let refusal = Refusal::new(message)
            .hint("leave `write` out, or name s3://, gs://, az:// or a folder");
        return Err(placed(refusal).into());
    }
    Ok(Some((
        LazyRemote::new(address, create || spec.write),
        spec.write,
    )))
}

/// Where a relative folder starts.
fn start_of<'a>(project: &'a Project, spec: &RemoteSpec) -> &'a Path {
    match spec.origin {
        RemoteOrigin::Pipeline => project.folder(),
        RemoteOrigin::Environment => Path::new(""),
    }
}

/// A remote that is connected when it is first asked.
pub struct LazyRemote {
    address: Address,
    create: bool,
    objects: OnceLock<Result<Objects, RemoteError>>,
}

impl LazyRemote {
    fn new(address: Address, create: bool) -> Self {
        Self {
            address,
            create,
            objects: OnceLock::new(),
        }
    }

    fn objects(&self) -> Result<&Objects> {
        let opened = self
            .objects
            .get_or_init(|| Objects::open(&self.address, self.create));
        opened.as_ref().map_err(|error| error.clone().into())
    }
}

impl Remote for LazyRemote {
    fn name(&self) -> String {
        self.address.to_string()
    }

    fn is_writable(&self) -> bool {
        self.address.is_writable()
    }

    fn length(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.objects()?.length(key)?)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.objects()?.read(key, limit)?)
    }

    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        Ok(self.objects()?.fetch(key, sink)?)
    }

    fn write(&self, key: &str, length: u64, source: &mut dyn Read) -> Result<()> {
        Ok(self.objects()?.write(key, length, source)?)
    }

    fn change(
        &self,
        key: &str,
        limit: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<()> {
        Ok(self.objects()?.change(key, limit, change)?)
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.objects()?.names(folder)?)
    }
}
