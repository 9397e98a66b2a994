//! What of a file survives.
//!
//! The system brings pages to the disk whenever it likes, and the disk writes sectors. So each page of
//! 4096 bytes is as it was after some write, be it the first that was not synced or the last; or each of
//! its sectors of 512 bytes by itself is, for a page may be torn. The file's size is one that it had since
//! the last sync, or a whole number of pages between two of them; what was not written is zero. Only that
//! order is kept which every file system keeps: what was written after the file was cut short comes to the
//! disk after the cut.

use std::collections::BTreeMap;

use fastrand::Rng;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// How much survives of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Synced,
    /// Everything.
    All,
    /// Some of it, by chance.
    Some,
}

/// The bytes of a file.
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

/// How the survivors are chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// All up to some write, of which only some sectors are there.
    Prefix,
    /// Each page by itself.
    Pages,
    /// Each sector by itself.
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

    /// Nothing that was written since the last sync will come to the disk. Sizes may.
    pub fn forget(&mut self) {
        let sizes = self.sizes();
        self.since = sizes.into_iter().skip(1).map(Step::Size).collect();
    }

    /// What may be on the disk.
    pub fn left(&self, left: Left, rng: &mut Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        match left {
            Left::Synced => {}
            Left::All => self.since.iter().for_each(|step| step.apply(&mut content)),
            Left::Some => self.tear(&mut content, rng),
        }
        content
    }

    /// The sizes before and after each step.
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
        // Between two times at which the file was cut short.
        let cuts: Vec<usize> =
            (0..self.since.len()).filter(|step| sizes[step + 1] < sizes[*step]).collect();
        let cut = rng.usize(..=cuts.len());
        let from = cut.checked_sub(1).map_or(0, |cut| cuts[cut] + 1);
        let until = cuts.get(cut).copied().unwrap_or(self.since.len());
        // What lies below every cut may still be older.
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
                    // Not beyond a cut that came after it.
                    let end = if *step < from { kept } else { usize::MAX };
                    self.since[*step].apply_within(content, start, end.min(start + SECTOR));
                }
            }
        }
        content.truncate(size);
        content.resize(size, 0);
    }

    /// Which writes before a step touched which page.
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

    /// Writes only what falls between these places.
    fn apply_within(&self, content: &mut [u8], start: usize, end: usize) {
        if let Step::Write { at, data } = self {
            let (start, end) = (start.max(*at), end.min(at + data.len()));
            if start < end {
                content[start..end].copy_from_slice(&data[start - at..end - at]);
            }
        }
    }
}

/// One of these sizes, or one between them that ends a page.
fn any_size(sizes: &[usize], rng: &mut Rng) -> usize {
    let one = *rng.choice(sizes).unwrap();
    let (least, most) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
    let page = rng.usize(least..=most) / PAGE * PAGE;
    if page > least && rng.bool() { page } else { one }
}
