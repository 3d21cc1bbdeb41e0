//! The order of a run's stages, and how many run at once: one whose inputs are all there may run
//! beside others.

use std::sync::mpsc::channel;
use std::thread;

use anyhow::Result;

use crate::kind::observer::Event;
use crate::kind::report::{Outcome, StageReport};
use crate::run::engine::{Engine, OnlyPlans};
use crate::run::session::Session;

/// How far a run came.
pub(crate) struct Ran {
    /// In the plan's order.
    pub stages: Vec<StageReport>,
    pub not_reached: Vec<String>,
}

impl Engine {
    /// Runs stages as soon as what they need is there, those of the plan's order first, until one
    /// fails; those that run beside it then still end.
    ///
    /// Fails with [`OnlyPlans`] when a stage has no work in this program.
    pub(crate) fn run_in_order(&self, session: &Session, order: &[usize]) -> Result<Ran> {
        let jobs = self.executor.as_ref().map_or(1, |executor| executor.jobs());
        let mut waiting = order.to_vec();
        let mut stages = Vec::new();
        let mut only_plans = None;
        let (sender, ended) = channel();
        thread::scope(|scope| {
            let (mut running, mut is_over) = (0_usize, false);
            loop {
                while !is_over && running < jobs.max(1) {
                    let is_ready = |index: &usize| {
                        let needs = &self.project.stages()[*index].needs;
                        needs.iter().all(|need| session.artifacts.has(*need))
                    };
                    let Some(place) = waiting.iter().position(is_ready) else {
                        break;
                    };
                    let index = waiting.remove(place);
                    running += 1;
                    let sender = sender.clone();
                    let run = move || {
                        // The receiver outlives the scope.
                        let _ = sender.send(self.stage(session, index));
                    };
                    match jobs {
                        0 | 1 => run(),
                        _ => drop(scope.spawn(run)),
                    }
                }
                if running == 0 {
                    break;
                }
                let mut report: StageReport = ended.recv().expect("BUG: a sender is held here");
                running -= 1;
                if let Some(error) = report.error.take_if(|error| error.is::<OnlyPlans>()) {
                    (only_plans, is_over) = (Some(error), true);
                    continue;
                }
                session.observer.event(&Event::StageFinished(&report));
                is_over |= report.outcome == Outcome::Failed;
                stages.push(report);
            }
        });
        let place = |name: &str| {
            let mut order = order.iter();
            order.position(|&index| self.project.stages()[index].name == name)
        };
        stages.sort_by_cached_key(|report| place(&report.stage));
        match only_plans {
            Some(error) => Err(error),
            None => Ok(Ran {
                stages,
                not_reached: waiting
                    .into_iter()
                    .map(|index| self.project.stages()[index].name.clone())
                    .collect(),
            }),
        }
    }
}
