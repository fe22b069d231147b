//! Work for all cores, whose result does not depend on how many there are.

/// `f(0), f(1), ...` up to `n`, on all cores.
pub(super) fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = if cfg!(target_arch = "wasm32") {
        1
    } else {
        std::thread::available_parallelism().map_or(1, usize::from)
    };
    if cores == 1 || n < 2 {
        return (0..n).map(f).collect();
    }
    // More pieces than cores: rows of a triangle are not equally long.
    let piece = n.div_ceil(8 * cores);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(piece, std::sync::atomic::Ordering::Relaxed);
            if first >= n {
                return done;
            }
            done.push((first, (first..n.min(first + piece)).map(&f).collect::<Vec<T>>()));
        }
    };
    let mut pieces = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut pieces = work();
        for other in others {
            match other.join() {
                Ok(more) => pieces.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        pieces
    });
    pieces.sort_by_key(|(first, _)| *first);
    pieces.into_iter().flat_map(|(_, values)| values).collect()
}
