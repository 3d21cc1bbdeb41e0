//! Times decoding and rendering on one thread, for tests/peers/rendering.py: commands on stdin, one
//! answer in JSON a line.
//!
//! - `load FOLDER RECIPE SIZE VIEWS`: reads the folder's JPEG files into memory and draws their
//!   views; answers
//!   `[{file, views: [{crop: [x, y, width, height], resize, window, operations: [[name, amount]]}]}]`
//! - `render exact|fast`: all files once; answers the nanoseconds of processor time of decoding and
//!   rendering
//! - `decode exact|fast`: decoding for the views alone; `decode whole`: all pixels
//! - `dump exact|fast COUNT PATH`: writes the views of the first files,
//!   `[COUNT * VIEWS, 3, SIZE, SIZE]` f32

use std::io::{BufRead, Write};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_imaging::{
    Adjust, Decode, Decoded, Layout, Limits, Normalise, Policy, RecipeName, Scratch, View, decode,
    decode_for, inspect, render,
};
use serde_json::{Value, json};

const NORMALISE: Normalise = Normalise {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Work {
    files: Vec<(String, Vec<u8>, Vec<View>)>,
    size: usize,
    scratch: Scratch,
    decoded: Decoded,
    out: Vec<f32>,
}

fn main() -> Result<(), Failure> {
    let mut work = Work::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["load", folder, recipe, size, views] => {
                work.load(folder, recipe, size.parse()?, views.parse()?)?
            }
            ["render", quality] => timed(|| work.render(parsed(quality)?))?,
            ["decode", "whole"] => timed(|| work.decode_whole())?,
            ["decode", quality] => timed(|| work.decode(parsed(quality)?))?,
            ["dump", quality, count, path] => {
                work.dump(parsed(quality)?, count.parse()?, path)?;
                Value::Null
            }
            _ => return Err(format!("`{line}` is no command").into()),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Work {
    fn load(
        &mut self,
        folder: &str,
        recipe: &str,
        size: u32,
        views: usize,
    ) -> Result<Value, Failure> {
        let name: RecipeName = serde_json::from_value(json!(recipe))?;
        let policy = Policy::new(name, Some(size), &Adjust::default())?;
        let mut paths: Vec<_> = fs_err::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        self.size = size as usize;
        self.out = vec![0.0; 3 * self.size * self.size];
        self.files.clear();
        for path in paths {
            let bytes = fs_err::read(&path)?;
            let header = inspect(&bytes, &Limits::default())?;
            let views = (0..views)
                .map(|_| policy.sample(&mut random, header.width, header.height))
                .collect();
            self.files.push((path.display().to_string(), bytes, views));
        }
        let described = self.files.iter().map(|(file, _, views)| {
            let views: Vec<Value> = views.iter().map(describe).collect();
            json!({"file": file, "views": views})
        });
        Ok(described.collect())
    }

    fn render(&mut self, quality: Decode) -> Result<(), Failure> {
        for (_, bytes, views) in &self.files {
            decode_for(bytes, &Limits::default(), views, quality, &mut self.decoded)?;
            for view in views {
                render(
                    &self.decoded,
                    view,
                    &mut self.scratch,
                    &mut self.out,
                    Layout::Hwc,
                    Some(&NORMALISE),
                )?;
            }
        }
        Ok(())
    }

    fn decode(&mut self, quality: Decode) -> Result<(), Failure> {
        for (_, bytes, views) in &self.files {
            decode_for(bytes, &Limits::default(), views, quality, &mut self.decoded)?;
        }
        Ok(())
    }

    fn decode_whole(&mut self) -> Result<(), Failure> {
        for (_, bytes, _) in &self.files {
            std::hint::black_box(decode(bytes, &Limits::default())?);
        }
        Ok(())
    }

    fn dump(&mut self, quality: Decode, count: usize, path: &str) -> Result<(), Failure> {
        let mut file = std::io::BufWriter::new(fs_err::File::create(path)?);
        for (_, bytes, views) in self.files.iter().take(count) {
            decode_for(bytes, &Limits::default(), views, quality, &mut self.decoded)?;
            for view in views {
                let (scratch, out) = (&mut self.scratch, &mut self.out);
                render(&self.decoded, view, scratch, out, Layout::Chw, None)?;
                for value in &self.out {
                    file.write_all(&value.to_le_bytes())?;
                }
            }
        }
        Ok(file.flush()?)
    }
}

fn describe(view: &View) -> Value {
    let crop = view.crop;
    let operations: Vec<Value> = view
        .operations
        .iter()
        .map(|operation| json!([operation.name(), operation.amount()]))
        .collect();
    json!({
        "crop": [crop.x, crop.y, crop.width, crop.height],
        "resize": view.resize,
        "window": view.window,
        "operations": operations,
    })
}

fn parsed(quality: &str) -> Result<Decode, Failure> {
    Ok(serde_json::from_value(json!(quality))?)
}

/// Nanoseconds of processor time that this thread has spent on `work`.
fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Value, Failure> {
    let before = processor_time()?;
    work()?;
    Ok(json!(processor_time()? - before))
}

/// Of this thread, by the kernel's scheduler: to the nanosecond, and not spoilt by other programs.
fn processor_time() -> Result<u64, Failure> {
    let statistics = fs_err::read_to_string("/proc/thread-self/schedstat")?;
    let first = statistics.split_whitespace().next().unwrap_or_default();
    Ok(first.parse()?)
}
