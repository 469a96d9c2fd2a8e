//! How far counters ran on after their overflows, in buckets that widen with the value.

/// Buckets of each power of two.
const FINE: u64 = 8;
/// Values below this have a bucket each.
const LINEAR: u64 = 16;
/// Samples after which old ones begin to weigh less.
const WINDOW: u64 = 1 << 16;

/// Counts of values, each known to an eighth.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    total: u64,
    most: u64,
}

/// What a [`Histogram`] has, in short; values in events, rounded up to a bucket's end but `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Skids {
    /// Number of samples.
    pub samples: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// The greatest, exactly.
    pub most: u64,
}

impl Histogram {
    /// Counts `value`.
    pub fn add(&mut self, value: u64) {
        let bucket = bucket(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.total += 1;
        self.most = self.most.max(value);
        if self.total >= 2 * WINDOW {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.total = self.buckets.iter().sum();
        }
    }

    /// Number of values, the older ones of many counting for less.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The least end of a bucket that `share` of all values (0 to 1) do not exceed; 0 without values.
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end(bucket);
            }
        }
        self.most
    }

    /// Every bucket that has values: its greatest value, and how many values are above it.
    pub fn tail(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut above = self.total;
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bucket, count)| {
            above -= count;
            (end(bucket), above)
        })
    }

    /// In short.
    pub fn summary(&self) -> Skids {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| self.percentile(share));
        Skids { samples: self.total, p50, p99, p999, most: self.most }
    }
}

fn bucket(value: u64) -> usize {
    if value < LINEAR {
        return value as usize;
    }
    let power = value.ilog2();
    let within = (value >> (power - FINE.ilog2())) % FINE;
    (LINEAR + u64::from(power - LINEAR.ilog2()) * FINE + within) as usize
}

/// The greatest value in a bucket.
fn end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < LINEAR {
        return bucket;
    }
    let (power, within) = ((bucket - LINEAR) / FINE + u64::from(LINEAR.ilog2()), (bucket - LINEAR) % FINE);
    let width = 1 << (power - u64::from(FINE.ilog2()));
    (FINE + within) * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_less_than_an_eighth_above_its_values() {
        for value in (0..70_000).chain([u64::MAX / 3, u64::MAX]) {
            let end = end(bucket(value));
            assert!(end >= value && end - value <= value / 8, "{value} {end}");
        }
    }

    #[test]
    fn percentiles_are_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.99), 0);
        (0..990).for_each(|_| histogram.add(10));
        (0..10).for_each(|_| histogram.add(61_000));
        assert_eq!((histogram.percentile(0.5), histogram.percentile(0.99)), (10, 10));
        assert!((61_000..68_700).contains(&histogram.percentile(0.999)));
        assert_eq!(histogram.tail().map(|(_, above)| above).collect::<Vec<_>>(), [10, 0]);
    }

    #[test]
    fn what_is_long_past_weighs_less() {
        let mut histogram = Histogram::default();
        (0..WINDOW).for_each(|_| histogram.add(5000));
        (0..4 * WINDOW).for_each(|_| histogram.add(1));
        assert_eq!(histogram.percentile(0.8), 1);
        assert!(histogram.total() < 2 * WINDOW);
    }
}
