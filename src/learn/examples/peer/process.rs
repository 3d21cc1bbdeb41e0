//! What a piece of work costs, read from /proc (Linux; elsewhere no numbers).

use std::time::Instant;

/// Wall and processor seconds of `work`, of all threads of the process.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, String) {
    let (processor, start) = (processor_seconds(), Instant::now());
    let done = work();
    let wall = start.elapsed().as_secs_f64();
    let processor = processor_seconds() - processor;
    (done, format!("{wall:.6} {processor:.6}"))
}

/// By how many bytes resident memory rose above its start while `work` went on.
pub fn peak_bytes(work: impl FnOnce()) -> f64 {
    // Sets the peak to what is resident now.
    let _ = fs_err::write("/proc/self/clear_refs", "5");
    let before = status_bytes("VmRSS:");
    work();
    status_bytes("VmHWM:") - before
}

fn processor_seconds() -> f64 {
    let Ok(threads) = fs_err::read_dir("/proc/self/task") else {
        return f64::NAN;
    };
    threads
        .flatten()
        .filter_map(|thread| {
            let text = fs_err::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        })
        .sum::<f64>()
        / 1e9
}

fn status_bytes(key: &str) -> f64 {
    fs_err::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        })
        .map_or(f64::NAN, |kibibytes| kibibytes * 1024.0)
}
