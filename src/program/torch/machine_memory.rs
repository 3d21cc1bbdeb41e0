//! How much memory this machine has for the program, asked of the system.

/// Bytes that the program may use: the machine's, or its container's limit; none where the system
/// tells neither.
pub fn machine_memory() -> Option<u64> {
    const LIMITS: [&str; 2] = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = LIMITS.iter().filter_map(|path| {
        let text = fs_err::read_to_string(path).ok()?;
        text.trim().parse().ok()
    });
    let told = fs_err::read_to_string("/proc/meminfo").ok();
    let machine = told.and_then(|told| total(&told));
    limits.chain(machine).min()
}

/// `MemTotal:  16303428 kB`.
fn total(told: &str) -> Option<u64> {
    let line = told.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_kilobytes() {
        assert_eq!(
            total("MemTotal:       16303428 kB\nMemFree: 1 kB\n"),
            Some(16_694_710_272)
        );
        assert_eq!(total("nothing"), None);
        assert!(machine_memory().is_some_and(|bytes| bytes > 1 << 27));
    }
}
