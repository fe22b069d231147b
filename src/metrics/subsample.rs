//! Intervals by subsampling without replacement (Politis and Romano 1994). A bootstrap with replacement would
//! put duplicates at distance 0 and spoil whatever counts neighbours.

/// The two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    /// The number, of all pictures.
    pub value: f64,
    /// Its standard error; none where nothing tells it.
    pub error: Option<f64>,
    /// The ends of the interval of 95 %.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// A number with its standard error.
    pub fn new(value: f64, error: Option<f64>) -> Estimate {
        let error = error.filter(|e| e.is_finite());
        Estimate { value, error, interval: error.map(|e| [value - Z * e, value + Z * e]) }
    }

    /// A number of `n` pictures whose standard error comes from what subsets of `size` of them gave, drawn
    /// without replacement. Of a mean their standard deviation is `s sqrt(1/size - 1/n)`, and the error of
    /// the whole `s / sqrt(n)`: of halves, one is the other. Other statistics follow where they are nearly
    /// means.
    pub fn of_subsets(value: f64, subsets: &[f64], size: usize, n: usize) -> Estimate {
        let factor = (size as f64 / (n.saturating_sub(size).max(1)) as f64).sqrt();
        Estimate::new(value, deviation(subsets).map(|s| s * factor))
    }

    /// The mean of numbers that are independent of each other.
    pub fn of_mean(values: &[f64]) -> Estimate {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        Estimate::new(mean, deviation(values).map(|s| s / n.sqrt()))
    }
}

/// The standard deviation, of two numbers or more.
fn deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Some((values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Random subsets, the same for the same seed everywhere.
#[derive(Clone, Debug)]
pub struct Subsets {
    state: u64,
}

impl Subsets {
    /// Those of a seed.
    pub fn new(seed: u64) -> Subsets {
        Subsets { state: seed }
    }

    /// SplitMix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `size` different numbers below `n`, ascending; all of them where there are no more.
    pub fn draw(&mut self, n: usize, size: usize) -> Vec<usize> {
        let size = size.min(n);
        let mut all: Vec<usize> = (0..n).collect();
        if size < n {
            for i in 0..size {
                let left = (n - i) as u128;
                let at = i + ((u128::from(self.next()) * left) >> 64) as usize;
                all.swap(i, at);
            }
            all.truncate(size);
            all.sort_unstable();
        }
        all
    }
}
