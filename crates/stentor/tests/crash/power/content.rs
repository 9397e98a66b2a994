//! The content of a file, and the part of it that survives a power failure.
//!
//! The system writes pages to the disk at any time, and the disk writes sectors. So each page of 4096 bytes has its
//! content after any one of the writes since the last sync, or before all of them. Or each of its sectors of 512
//! bytes has, because a page may be torn. The size of the file is any one since the last sync, or a whole number of
//! pages between two of them. Bytes that were not written are zero. Only one order is kept, as every file system
//! keeps it: writes after a truncation reach the disk after the truncation.

use std::collections::BTreeMap;

use fastrand::Rng;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The changes since the last sync that survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None.
    Synced,
    /// All.
    All,
    /// A random part.
    Some,
}

/// The content of a file.
#[derive(Default)]
pub struct Content {
    synced: Vec<u8>,
    since: Vec<Step>,
}

/// A change since the last sync.
enum Step {
    Write { at: usize, data: Vec<u8> },
    Size(usize),
}

/// The kinds of partial survival.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// All writes up to one, of which only some sectors survive.
    Prefix,
    /// Each page on its own.
    Pages,
    /// Each sector on its own.
    Sectors,
}

impl Content {
    pub fn write(&mut self, at: u64, data: &[u8]) {
        self.since.push(Step::Write { at: usize::try_from(at).unwrap(), data: data.to_vec() });
    }

    pub fn set_size(&mut self, size: u64) {
        self.since.push(Step::Size(usize::try_from(size).unwrap()));
    }

    pub fn sync(&mut self) {
        for step in self.since.drain(..) {
            step.apply(&mut self.synced);
        }
    }

    /// Drops the writes since the last sync: they will never reach the disk. Size changes may.
    pub fn forget(&mut self) {
        let sizes = self.sizes();
        self.since = sizes.into_iter().skip(1).map(Step::Size).collect();
    }

    /// The content that may be on the disk after a failure.
    pub fn survivors(&self, survival: Survival, rng: &mut Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        match survival {
            Survival::Synced => {}
            Survival::All => self.since.iter().for_each(|step| step.apply(&mut content)),
            Survival::Some => self.tear(&mut content, rng),
        }
        content
    }

    /// The sizes before the first and after each step.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![self.synced.len()];
        for step in &self.since {
            let size = *sizes.last().unwrap();
            sizes.push(match step {
                Step::Write { at, data } => size.max(at + data.len()),
                Step::Size(size) => *size,
            });
        }
        sizes
    }

    fn tear(&self, content: &mut Vec<u8>, rng: &mut Rng) {
        let sizes = self.sizes();
        // The survivors are chosen from the steps between two truncations.
        let cuts: Vec<usize> =
            (0..self.since.len()).filter(|step| sizes[step + 1] < sizes[*step]).collect();
        let cut = rng.usize(..=cuts.len());
        let from = cut.checked_sub(1).map_or(0, |cut| cuts[cut] + 1);
        let until = cuts.get(cut).copied().unwrap_or(self.since.len());
        // Content below all truncations may be older than the first of these steps.
        let kept = sizes[..=from].iter().copied().min().unwrap_or_default();
        content.truncate(kept);
        let size = any_size(&sizes[from..=until], rng);
        let longest = sizes[..=until].iter().copied().max().unwrap_or_default();
        content.resize(longest.max(size), 0);
        let torn = *rng.choice(&[Torn::Prefix, Torn::Pages, Torn::Sectors]).unwrap();
        let last = rng.usize(from..=until);
        for (page, steps) in self.steps_of_pages(until) {
            let steps: Vec<usize> =
                steps.into_iter().filter(|step| *step >= from || page * PAGE < kept).collect();
            let survive = rng.usize(..=steps.len());
            for sector in 0..PAGE / SECTOR {
                let count = match torn {
                    Torn::Prefix => {
                        let whole = steps.partition_point(|step| *step < last);
                        whole + usize::from(steps.get(whole) == Some(&last) && rng.bool())
                    }
                    Torn::Pages => survive,
                    Torn::Sectors => rng.usize(..=steps.len()),
                };
                let start = page * PAGE + sector * SECTOR;
                for step in &steps[..count] {
                    // A write before a truncation does not survive beyond it.
                    let end = if *step < from { kept } else { usize::MAX };
                    self.since[*step].apply_within(content, start, end.min(start + SECTOR));
                }
            }
        }
        content.truncate(size);
        content.resize(size, 0);
    }

    /// The steps before `until` that wrote to each page.
    fn steps_of_pages(&self, until: usize) -> BTreeMap<usize, Vec<usize>> {
        let mut pages: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (step, change) in self.since[..until].iter().enumerate() {
            if let Step::Write { at, data } = change {
                for page in at / PAGE..(at + data.len()).div_ceil(PAGE) {
                    pages.entry(page).or_default().push(step);
                }
            }
        }
        pages
    }
}

impl Step {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Step::Size(size) => content.resize(*size, 0),
            Step::Write { at, data } => {
                content.resize(content.len().max(at + data.len()), 0);
                content[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    /// Applies only the part of the write between these offsets.
    fn apply_within(&self, content: &mut [u8], start: usize, end: usize) {
        if let Step::Write { at, data } = self {
            let (start, end) = (start.max(*at), end.min(at + data.len()));
            if start < end {
                content[start..end].copy_from_slice(&data[start - at..end - at]);
            }
        }
    }
}

/// One of these sizes, or a size between them that is a whole number of pages.
fn any_size(sizes: &[usize], rng: &mut Rng) -> usize {
    let one = *rng.choice(sizes).unwrap();
    let (least, most) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
    let page = rng.usize(least..=most) / PAGE * PAGE;
    if page > least && rng.bool() { page } else { one }
}
