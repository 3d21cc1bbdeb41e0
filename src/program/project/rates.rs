//! What work took on this machine: stages of earlier runs, and calibrations. Telemetry for
//! estimates of time, outside every digest: it lies in the user's cache folder, a file a machine,
//! may be deleted at any time, and one that doesn't read is none.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seedpipe_engine::{Aside, Digest, durable};
use seedpipe_stages::calibration::{Calibration, Cost, rendering};
use serde::{Deserialize, Serialize};

use crate::torch::processor::Processor;
use crate::torch::sibling;

/// The file in place of the usual one; `off`: nothing is kept, measured or foretold.
pub const VARIABLE: &str = "SEEDPIPE_RATES";
const OFF: &str = "off";
const VERSION: u32 = 1;
/// Of each way to work; the oldest goes.
const RUNS: usize = 8;
/// Of all ways together.
const WAYS: usize = 1_000;
/// A machine is as busy as it was for that many seconds.
const FRESH: u64 = 1_800;
/// What is not measured by then waits for the next plan.
const PATIENCE: Duration = Duration::from_secs(10);
/// A run so short says little about one so much longer.
const SHORT: f64 = 2.0;
const MUCH_LONGER: f64 = 8.0;
/// What decides how fast libraries are on one processor.
const LIMITS: [&str; 6] = [
    "SEEDPIPE_SIMD",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "RAYON_NUM_THREADS",
];

pub struct Rates {
    /// None where the user has no cache folder.
    path: Option<PathBuf>,
    known: Known,
}

#[derive(Default, Serialize, Deserialize)]
struct Known {
    v: u32,
    /// By way to work, the newest last.
    runs: BTreeMap<String, Vec<Run>>,
    calibrations: BTreeMap<String, Calibrated>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Run {
    amount: f64,
    seconds: f64,
    /// Seconds since 1970.
    at: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Calibrated {
    cost: Cost,
    at: u64,
}

impl Rates {
    /// None when the user wants none.
    pub fn of_this_machine() -> Option<Rates> {
        let path = match env::var_os(VARIABLE) {
            Some(off) if off == OFF => return None,
            Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => folder().map(|folder| folder.join(format!("rates-{}.json", machine()))),
        };
        let known = path.as_deref().and_then(read).unwrap_or_default();
        Some(Rates { path, known })
    }

    /// Seconds for so much work by an earlier run, the one that was most alike, and how many there
    /// are.
    pub fn by_runs(&self, way: &str, amount: f64) -> Option<(f64, usize)> {
        let runs = self.known.runs.get(way)?;
        let tells = |run: &&Run| run.seconds >= SHORT || amount <= run.amount * MUCH_LONGER;
        let distance = |run: &Run| (amount.max(1.0) / run.amount).ln().abs();
        let newest_first = runs.iter().rev().filter(tells);
        let nearest = newest_first.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        Some((nearest.seconds * amount / nearest.amount, runs.len()))
    }

    pub fn keep_run(&mut self, way: String, amount: f64, seconds: f64) {
        if amount > 0.0 && seconds > 0.0 {
            let runs = self.known.runs.entry(way).or_default();
            runs.push(Run {
                amount,
                seconds,
                at: now(),
            });
            runs.drain(..runs.len().saturating_sub(RUNS));
        }
    }

    /// What a calibration measured lately.
    pub fn cost(&self, calibration: &Calibration) -> Option<Cost> {
        let known = self.known.calibrations.get(&calibration.key())?;
        (now().saturating_sub(known.at) < FRESH).then_some(known.cost)
    }

    /// Measures what was not measured lately. What can't be stays unknown.
    pub fn calibrate<'a>(&mut self, wanted: impl Iterator<Item = &'a Calibration>) {
        let mut missing: Vec<&Calibration> = Vec::new();
        for calibration in wanted {
            let is_there = missing.iter().any(|other| other.key() == calibration.key());
            if !is_there && self.cost(calibration).is_none() {
                missing.push(calibration);
            }
        }
        if missing.is_empty() {
            return;
        }
        let aside = Aside::begin("measuring this machine", "rates", missing.len() as u64);
        let (networks, others): (Vec<&Calibration>, Vec<_>) =
            missing.into_iter().partition(|one| one.needs_tensors());
        for calibration in others {
            if let Calibration::Render { files, side } = calibration
                && let Ok(cost) = rendering(files, *side)
            {
                self.keep_cost(calibration, cost);
            }
            aside.advance(1);
        }
        let lines = networks
            .iter()
            .filter_map(|one| serde_json::to_string(one).ok());
        let questions: String = lines.map(|line| line + "\n").collect();
        if !questions.is_empty()
            && let Ok(answers) = sibling::ask("calibrate", &questions, PATIENCE)
        {
            for (calibration, answer) in networks.into_iter().zip(answers) {
                if let Ok(Some(cost)) = serde_json::from_str(&answer) {
                    self.keep_cost(calibration, cost);
                }
            }
        }
        drop(aside);
        self.write();
    }

    fn keep_cost(&mut self, calibration: &Calibration, cost: Cost) {
        let calibrated = Calibrated { cost, at: now() };
        self.known
            .calibrations
            .insert(calibration.key(), calibrated);
    }

    /// What can't be written is measured again another time.
    pub fn write(&mut self) {
        let Some(path) = &self.path else { return };
        let now = now();
        let is_fresh = |known: &Calibrated| now.saturating_sub(known.at) < FRESH;
        self.known.calibrations.retain(|_, known| is_fresh(known));
        while self.known.runs.len() > WAYS {
            let last = |runs: &Vec<Run>| runs.last().map_or(0, |run| run.at);
            let oldest = self.known.runs.iter().min_by_key(|(_, runs)| last(runs));
            let Some(oldest) = oldest.map(|(way, _)| way.clone()) else {
                break;
            };
            self.known.runs.remove(&oldest);
        }
        self.known.v = VERSION;
        if let Ok(text) = serde_json::to_vec(&self.known)
            && let Some(folder) = path.parent()
            && fs_err::create_dir_all(folder).is_ok()
        {
            let _ = durable::write(path, &text);
        }
    }
}

fn read(path: &Path) -> Option<Known> {
    let known: Known = serde_json::from_slice(&fs_err::read(path).ok()?).ok()?;
    let is_sound = |run: &Run| run.amount > 0.0 && run.seconds > 0.0;
    let all = known.runs.values().flatten();
    (known.v == VERSION && all.into_iter().all(is_sound)).then_some(known)
}

/// The user's cache folder, by the XDG base directory specification.
fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|it| it.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("seedpipe"))
}

/// What tells this machine from others that share the folder, and how its libraries are limited.
fn machine() -> String {
    let processor = Processor::of_this_machine();
    let system = rustix::system::uname();
    let mut told = vec![
        system.nodename().to_string_lossy().into_owned(),
        processor.described(),
        processor.threads.to_string(),
        cfg!(debug_assertions).to_string(),
    ];
    let limits = LIMITS.iter().map(|name| env::var(name).unwrap_or_default());
    told.extend(limits);
    Digest::of(told.join("\n").as_bytes()).short()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(path: Option<PathBuf>) -> Rates {
        let known = path.as_deref().and_then(read).unwrap_or_default();
        Rates { path, known }
    }

    #[test]
    fn the_run_that_was_most_alike_foretells() {
        let mut rates = rates(None);
        assert_eq!(rates.by_runs("a", 100.0), None);
        for (amount, seconds) in [(10.0, 3.0), (100.0, 20.0), (1_000.0, 150.0)] {
            rates.keep_run("a".into(), amount, seconds);
        }
        assert_eq!(rates.by_runs("a", 20.0), Some((6.0, 3)));
        assert_eq!(rates.by_runs("a", 80.0), Some((16.0, 3)));
        assert_eq!(rates.by_runs("a", 10_000.0), Some((1_500.0, 3)));
        assert_eq!(rates.by_runs("b", 80.0), None, "another way to work");
        rates.keep_run("b".into(), 10.0, 0.5);
        assert_eq!(
            rates.by_runs("b", 1_000.0),
            None,
            "most of it was the start"
        );
        assert!(rates.by_runs("b", 20.0).is_some());
    }

    #[test]
    fn what_was_kept_is_read_again_and_what_is_damaged_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/rates.json");
        let mut kept = rates(Some(path.clone()));
        for _ in 0..2 * RUNS {
            kept.keep_run("a".into(), 10.0, 3.0);
        }
        kept.write();
        let again = rates(Some(path.clone()));
        assert_eq!(again.by_runs("a", 10.0), Some((3.0, RUNS)));
        fs_err::write(&path, "{").unwrap();
        assert_eq!(rates(Some(path)).by_runs("a", 10.0), None);
    }
}
