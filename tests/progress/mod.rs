//! What people and programs see of a run: on a terminal, in a log file, as events, from another
//! terminal, in TensorBoard.

mod curves;
mod events;
mod lines;
mod live;
mod read_back;
mod terminal;
mod time;
mod watch;

use std::time::{Duration, Instant};

use crate::sandbox::WHOLE_PIPELINE;

/// Long enough for everything that a test waits for; what takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// The whole road, with a teacher that learns until it is stopped.
fn endless_teacher() -> String {
    WHOLE_PIPELINE.replace(
        "training: {epochs: 1,",
        "training: {epochs: 100000, checkpoint_steps: 50,",
    )
}

/// Asks again and again until it is so.
fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} didn't come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
