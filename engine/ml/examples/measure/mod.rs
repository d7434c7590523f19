//! What the examples that are set beside peers share: columns of `tests/peers/ml/data.py`, and a clock.

use std::path::{Path, PathBuf};
use std::time::Instant;

/// A column of little-endian numbers.
pub fn numbers(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The labels of the rows.
pub fn labels(dir: &Path) -> Vec<bool> {
    std::fs::read(dir.join("label.u8")).unwrap().into_iter().map(|label| label == 1).collect()
}

/// Runs a task so many times and prints its JSON line: `seconds` are of the wall, `cpu_seconds` of all threads together
/// (Linux; else 0), the least of each; `result` is what `number` makes of the outcome, which is not timed.
pub fn timed<T>(task: &str, times: usize, work: impl Fn() -> T, number: impl Fn(T) -> f64) {
    let (mut seconds, mut cpu_seconds, mut result) = (f64::INFINITY, f64::INFINITY, f64::NAN);
    for _ in 0..times {
        let (cpu, start) = (cpu_nanoseconds(), Instant::now());
        let outcome = work();
        seconds = start.elapsed().as_secs_f64().min(seconds);
        cpu_seconds = cpu_seconds.min((cpu_nanoseconds() - cpu) as f64 / 1e9);
        result = number(outcome);
    }
    println!(
        "{{\"task\":\"{task}\",\"seconds\":{seconds},\"cpu_seconds\":{cpu_seconds},\"result\":{result}}}"
    );
}

/// Nanoseconds that the threads of this process have run.
pub fn cpu_nanoseconds() -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let of_thread = |path: PathBuf| std::fs::read_to_string(path.join("schedstat")).ok();
    let times = threads.flatten().filter_map(|thread| of_thread(thread.path()));
    times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Starts the threads before a clock runs.
pub fn warm() {
    use rayon::prelude::*;
    let sum: u64 = (0..1_000_000u64).into_par_iter().sum();
    std::hint::black_box(sum);
}
