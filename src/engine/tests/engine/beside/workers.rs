//! Stages whose work others do: several at once, each in shares.

use std::sync::Mutex;
use std::thread;

use anyhow::Result;
use fs_err as fs;
use seedpipe_engine::*;

use crate::toy::registry;
use crate::world::{CHAIN, Recorder, World, outcomes};

/// Workers in threads of this process. What one says goes through its words, as from a process.
struct Threads {
    jobs: usize,
    shares: usize,
    class: &'static str,
    /// Tasks that are worked on, and the most there ever were.
    at_work: Mutex<(usize, usize)>,
}

impl Threads {
    fn new(jobs: usize, shares: usize) -> Box<Threads> {
        Box::new(Threads {
            jobs,
            shares,
            class: "",
            at_work: Mutex::default(),
        })
    }
}

impl Executor for Threads {
    fn jobs(&self) -> usize {
        self.jobs
    }

    fn takes(&self, _kind: &Kind) -> bool {
        true
    }

    fn work(&self, task: Task, observer: &dyn Observer) -> Result<()> {
        {
            let mut at_work = self.at_work.lock().unwrap();
            *at_work = (at_work.0 + 1, at_work.1.max(at_work.0 + 1));
        }
        let class = self.class;
        let one = |share| {
            let classes: NumericsOf = Box::new(move |_, _| Ok(class.to_owned()));
            let worker = Worker::new(task.cache, registry(), classes);
            let mut said = Vec::new();
            {
                let teller = Teller::new(&mut said);
                teller.end(&worker.work(task.fingerprint, share, &teller));
            }
            listen(task.stage, said.as_slice(), observer)
        };
        let worked = thread::scope(|scope| {
            let workers = Share::all(self.shares).map(|share| scope.spawn(move || one(share)));
            let workers: Vec<_> = workers.collect();
            let ended = workers.into_iter().map(|worker| worker.join().unwrap());
            ended.collect::<Vec<_>>().into_iter().collect()
        });
        self.at_work.lock().unwrap().0 -= 1;
        worked
    }
}

/// Three stages that need nothing of each other, and one that needs them all.
const WIDE: &str = "\
stages:
  raw: {kind: read, params: {path: input.txt}}
  one: {kind: repeat, inputs: {text: raw}, params: {times: 2}}
  two: {kind: repeat, inputs: {text: raw}, params: {times: 3}}
  three: {kind: repeat, inputs: {text: raw}, params: {times: 4}}
  sum: {kind: count, inputs: {texts: [one, two, three]}}
";

fn run(world: &World, executor: Box<Threads>) -> RunReport {
    let engine = world.engine().with_executor(executor);
    engine.run(&RunOptions::default(), &Silent).unwrap()
}

#[test]
fn shares_make_what_one_process_makes() {
    let alone = World::new(CHAIN);
    alone.run();
    for (jobs, shares) in [(1, 1), (1, 2), (2, 3), (4, 5)] {
        let world = World::new(CHAIN);
        let report = run(&world, Threads::new(jobs, shares));
        assert!(report.failed().is_none(), "{:?}", report.failed());
        for stage in ["raw", "clean", "long", "sum"] {
            let (expected, got) = (alone.artifact(stage), world.artifact(stage));
            assert_eq!(expected.fingerprint, got.fingerprint);
            assert_eq!(expected.content, got.content);
            let values = |artifact: &Artifact| artifact.manifest.telemetry.values.clone();
            assert_eq!(values(&expected), values(&got));
        }
        // Nothing is left of the work.
        let drafts = world.path(".seedpipe/v1/drafts");
        assert_eq!(fs::read_dir(drafts).unwrap().count(), 0);
        let log = world.log();
        assert_eq!(
            log.iter().filter(|line| line.starts_with("long")).count(),
            3
        );
    }
}

#[test]
fn stages_that_need_nothing_of_each_other_run_at_once() {
    let most = |jobs| {
        let world = World::new(WIDE);
        world.write("slow", "60");
        let threads = Threads::new(jobs, 1);
        let engine = world.engine();
        let threads: &'static Threads = Box::leak(threads);
        let engine = engine.with_executor(Box::new(Lent(threads)));
        let report = engine.run(&RunOptions::default(), &Silent).unwrap();
        assert!(report.failed().is_none(), "{:?}", report.failed());
        threads.at_work.lock().unwrap().1
    };
    assert_eq!(most(1), 1);
    assert_eq!(most(2), 2);
    assert_eq!(most(9), 3);
}

/// Somebody else's.
struct Lent(&'static Threads);

impl Executor for Lent {
    fn jobs(&self) -> usize {
        self.0.jobs()
    }
    fn takes(&self, kind: &Kind) -> bool {
        self.0.takes(kind)
    }
    fn work(&self, task: Task, observer: &dyn Observer) -> Result<()> {
        self.0.work(task, observer)
    }
}

#[test]
fn what_runs_beside_a_stage_that_fails_is_not_lost() {
    let world = World::new(WIDE);
    world.write("slow", "40");
    world.write("fail", "one 0\n");
    let report = run(&world, Threads::new(3, 1));
    let mut ended = outcomes(&report);
    ended.sort();
    assert_eq!(
        ended,
        [
            "one failed",
            "raw executed",
            "three executed",
            "two executed"
        ]
    );
    assert_eq!(report.not_reached(), ["sum"]);
    let error = report.failed().unwrap().error.as_ref().unwrap();
    assert_eq!(format!("{error:#}"), "shard 0 of 3: the world has a fault");
    world.remove("fail");
    let report = run(&world, Threads::new(3, 1));
    let mut ended = outcomes(&report);
    ended.sort();
    assert_eq!(
        ended,
        [
            "one executed",
            "raw cached",
            "sum executed",
            "three cached",
            "two cached"
        ]
    );
}

#[test]
fn the_shards_of_a_share_that_failed_are_made_by_the_next_run() {
    let world = World::new(CHAIN);
    world.write("fail", "long 1\n");
    let report = run(&world, Threads::new(1, 3));
    assert!(report.failed().is_some());
    world.log();
    world.remove("fail");
    let recorder = Recorder::default();
    let report = world.run_with(&RunOptions::default(), &recorder);
    assert!(report.failed().is_none(), "{:?}", report.failed());
    let log = world.log();
    assert_eq!(
        log.iter()
            .filter(|line| line.starts_with("long"))
            .collect::<Vec<_>>(),
        ["long 1"]
    );
    let resumed = "long: resumed 2 of 3".to_owned();
    assert!(
        recorder.lines().contains(&resumed),
        "{:?}",
        recorder.lines()
    );
}

#[test]
fn a_machine_of_another_class_is_refused() {
    let world = World::new(CHAIN);
    let mut threads = Threads::new(1, 1);
    threads.class = "cpu other";
    let classes: NumericsOf = Box::new(|_, _| Ok("cpu here".to_owned()));
    let engine = world.engine().with_numerics(classes).with_executor(threads);
    let report = engine.run(&RunOptions::default(), &Silent).unwrap();
    let error = report.failed().unwrap().error.as_ref().unwrap();
    let expected = "expected a machine of the numerics class `cpu here`, got one of `cpu other`\nhint: let the run and its workers be on machines of one kind";
    assert!(format!("{error:#}").ends_with(expected), "{error:#}");
}

/// Two workers with one share, as after a restart that was in vain.
#[test]
fn a_share_that_two_have_is_done_once() {
    struct Twice;
    impl Executor for Twice {
        fn jobs(&self) -> usize {
            1
        }
        fn takes(&self, _kind: &Kind) -> bool {
            true
        }
        fn work(&self, task: Task, observer: &dyn Observer) -> Result<()> {
            thread::scope(|scope| {
                let worker = |_| {
                    scope.spawn(move || {
                        let classes: NumericsOf = Box::new(|_, _| Ok(String::new()));
                        let worker = Worker::new(task.cache, registry(), classes);
                        worker.work(task.fingerprint, Share::WHOLE, observer)
                    })
                };
                let workers: Vec<_> = (0..2).map(worker).collect();
                let mut ended = workers.into_iter().map(|worker| worker.join().unwrap());
                ended.try_for_each(|worked| worked)
            })
        }
    }
    let (alone, world) = (World::new(CHAIN), World::new(CHAIN));
    alone.run();
    world.write("slow", "20");
    let engine = world.engine().with_executor(Box::new(Twice));
    let report = engine.run(&RunOptions::default(), &Silent).unwrap();
    assert!(report.failed().is_none(), "{:?}", report.failed());
    assert_eq!(alone.artifact("sum").content, world.artifact("sum").content);
}
