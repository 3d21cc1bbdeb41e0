//! What is done with a text from anybody, and what must hold of it: for tests of many texts, and
//! for the fuzz targets in `fuzz/`.

use std::path::Path;

use seedpipe_engine::*;

/// A pipeline, with an override where the first line is a comment.
pub fn spec(text: &str, registry: &Registry) {
    let overrides: Vec<String> = match text.split_once('\n') {
        Some((first, _)) => first
            .strip_prefix('#')
            .map(str::to_owned)
            .into_iter()
            .collect(),
        None => Vec::new(),
    };
    match Project::parse(Path::new("p/pipeline.yaml"), text, registry, &overrides) {
        Ok(project) => {
            for stage in project.stages() {
                assert_eq!(project.stage(&stage.name).unwrap().name, stage.name);
                assert!(!project.select(&stage.base).unwrap().is_empty());
                for connection in stage.inputs.values().flatten() {
                    project.stage(&connection.stage).unwrap();
                }
            }
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
}

/// A manifest as it is, and with the checksum that makes its content count.
pub fn manifest(text: &str) {
    for text in [text.to_owned(), Manifest::sealed(text)] {
        let Ok(manifest) = Manifest::decode(&text) else {
            continue;
        };
        let _ = manifest.check();
        for (slot, output) in &manifest.outputs {
            for name in output.parts.iter().map(|part| &part.name).chain([slot]) {
                assert!(!name.contains('/') && name != ".." && !name.is_empty());
            }
        }
        let again = Manifest::decode(&manifest.encode()).unwrap();
        assert_eq!(again, manifest);
    }
}

/// A pipeline.lock.
pub fn lock(text: &str) {
    if let Ok(lock) = PipelineLock::parse("pipeline.lock", text) {
        assert_eq!(PipelineLock::parse("again", &lock.text()).unwrap(), lock);
        for (name, stage) in &lock.stages {
            assert!(lock.stage(name).is_some());
            stage.fields();
            stage.figures();
        }
    }
}
