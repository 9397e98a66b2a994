//! The write-ahead log as a file: finds its end, and damage before its end.
//!
//! SQLite ends a write-ahead log at the first invalid frame, because a power loss may tear the last transaction. It
//! does the same if an older frame is damaged, and then loses every transaction behind it without a word. So the
//! file is checked before SQLite opens it. The format is described at <https://www.sqlite.org/walformat.html>.
//!
//! A server that syncs every commit writes a transaction only after the one before it is on the disk. If a later
//! transaction is there, an invalid frame in an earlier one is therefore damage. The checksum of a frame continues that
//! of the frame before it, so a frame behind an invalid one is checked with the checksum stored in the frame before it.

mod checksum;
pub(super) mod index;

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use self::checksum::{Checksum, Order};
use self::index::{Salts, WalIndex};

/// Size of the header of the file.
const HEADER: usize = 32;
/// Size of the header of a frame. The page follows it.
const FRAME_HEADER: usize = 24;
/// Page size of a log, used if the header of the file is damaged.
const PAGE: usize = 4096;
/// A disk writes a sector completely or not at all.
const SECTOR: u64 = 512;

/// Content of a write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wal {
    /// Salts in the header of the file; `None` if the file is empty or the header is invalid.
    salts: Option<Salts>,
    /// Number of frames up to the last commit that SQLite recovers.
    frames: u64,
    /// Size of the file up to that commit.
    pub(super) bytes: u64,
    /// Size of the file.
    pub(super) file_bytes: u64,
    /// Frames of the same generation that SQLite does not recover.
    pub(super) left_out: LeftOut,
    /// The first invalid frame, if a later transaction is behind it.
    damage: Option<u64>,
}

/// Frames that SQLite does not recover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Number of frames, each with a page.
    pub(super) pages: u64,
    /// Number of frames that end a transaction.
    pub(super) commits: u64,
}

impl Wal {
    /// Reads the file. Returns `None` if there is none.
    pub(super) fn read(path: &Path) -> io::Result<Option<Wal>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let file_bytes = file.metadata()?.len();
        let mut wal = Wal { file_bytes, ..Wal::default() };
        wal.scan(BufReader::with_capacity(1 << 20, file))?;
        Ok(Some(wal))
    }

    /// Returns the reason why acknowledged events would be lost, or `None`. Every commit must have been synced.
    ///
    /// `index` is what SQLite's index says, and `is_current` is `true` if the system was not restarted since then:
    /// otherwise the file may be newer than the index.
    pub(super) fn damage(&self, index: Option<WalIndex>, is_current: bool) -> Option<String> {
        if let Some(frame) = self.damage {
            let place = match frame {
                0 => "its header".to_owned(),
                frame => format!("frame {frame}"),
            };
            return Some(format!("{place} is invalid, and later transactions are behind it"));
        }
        let index = index.filter(|index| index.frames > 0)?;
        if self.salts == Some(index.salts) {
            let missing = index.frames > self.frames;
            return missing
                .then(|| format!("{} of its {} frames are valid", self.frames, index.frames));
        }
        is_current.then(|| format!("its {} frames are missing", index.frames))
    }

    fn scan(&mut self, mut file: impl Read) -> io::Result<()> {
        let mut header = [0; HEADER];
        if !read_whole(&mut file, &mut header)? {
            return Ok(());
        }
        let header = Header::parse(&header);
        self.salts = header.as_ref().map(|header| header.salts);
        let page = header.as_ref().map_or(PAGE, |header| header.page);
        let order = header.as_ref().map_or(Order::NATIVE, |header| header.order);
        let mut bytes = vec![0; FRAME_HEADER + page];
        let mut chain = Chain::new(header);
        let mut at = HEADER as u64;
        while read_whole(&mut file, &mut bytes)? {
            let Some(frame) = Frame::parse(&bytes, at, order) else { break };
            at += bytes.len() as u64;
            if chain.add(&frame) && frame.is_commit() {
                (self.frames, self.bytes) = (chain.count, at);
            }
        }
        if self.frames == 0 && self.salts.is_some() {
            self.bytes = HEADER as u64;
        }
        self.left_out = chain.left_out;
        // Valid frames of a transaction without its commit are left out too.
        self.left_out.pages += chain.valid - self.frames;
        self.damage = chain.damage;
        Ok(())
    }
}

/// The header of the file.
struct Header {
    order: Order,
    page: usize,
    salts: Salts,
    checksum: Checksum,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        /// The lowest bit is the byte order of the checksums.
        const MAGIC: u32 = 0x377f_0682;
        let magic = number(bytes, 0)?;
        let order = if magic & 1 == 0 { Order::Little } else { Order::Big };
        let page = usize::try_from(number(bytes, 8)?).ok()?;
        let checksum = Checksum::default().with(order, bytes.get(..24)?);
        let is_valid = magic & !1 == MAGIC
            && page.is_power_of_two()
            && (512..=65_536).contains(&page)
            && stored(bytes, 24)? == checksum;
        is_valid.then_some(Header { order, page, salts: salts(bytes, 16)?, checksum })
    }
}

/// A frame: a page, and the end of a transaction if `size` is not zero.
struct Frame<'b> {
    bytes: &'b [u8],
    order: Order,
    page: u32,
    /// Size of the database in pages after the transaction that the frame ends, otherwise 0.
    size: u32,
    salts: Salts,
    stored: Checksum,
    /// `true` if the header of the frame is in one sector. Otherwise a power loss can tear it.
    is_whole: bool,
}

impl<'b> Frame<'b> {
    fn parse(bytes: &'b [u8], at: u64, order: Order) -> Option<Frame<'b>> {
        Some(Frame {
            bytes,
            order,
            page: number(bytes, 0)?,
            size: number(bytes, 4)?,
            salts: salts(bytes, 8)?,
            stored: stored(bytes, 16)?,
            is_whole: at % SECTOR <= SECTOR - FRAME_HEADER as u64,
        })
    }

    fn is_commit(&self) -> bool {
        self.size != 0
    }

    /// Returns the checksum that the frame should have after a frame with the checksum `before`.
    fn checksum(&self, before: Checksum) -> Checksum {
        let (head, page) = self.bytes.split_at_checked(FRAME_HEADER).unwrap_or((self.bytes, &[]));
        before.with(self.order, head.get(..8).unwrap_or_default()).with(self.order, page)
    }

    /// Returns `true` if the frame would end a transaction and match its checksum with one other bit.
    fn is_commit_with_a_flipped_bit(&self, before: Checksum) -> bool {
        /// Number of words that the checksum covers before the page: its number, then the size.
        const SIZE_WORD: usize = 1;
        let words = (self.bytes.len() - FRAME_HEADER + 8) / 4;
        let computed = self.checksum(before);
        computed
            .flipped_word(self.stored, words)
            .is_some_and(|word| word == SIZE_WORD || self.is_commit())
    }
}

/// The frames in order, as far as they continue each other.
struct Chain {
    salts: Option<Salts>,
    /// Number of frames.
    count: u64,
    /// Number of frames before the first invalid one.
    valid: u64,
    state: State,
    left_out: LeftOut,
    damage: Option<u64>,
}

enum State {
    /// All frames are valid. The last one has this checksum.
    Valid(Checksum),
    /// Behind the first invalid frame.
    Broken {
        first: u64,
        /// The checksum stored in the frame before.
        stored: Checksum,
        /// The checksum that the frame before should have, and `true` if that frame would then end a transaction.
        computed: Option<(Checksum, bool)>,
        /// `true` if a transaction ended at or behind the first invalid frame.
        has_end: bool,
    },
}

impl Chain {
    fn new(header: Option<Header>) -> Chain {
        let state = match &header {
            Some(header) => State::Valid(header.checksum),
            None => State::Broken {
                first: 0,
                stored: Checksum::default(),
                computed: None,
                has_end: false,
            },
        };
        let salts = header.map(|header| header.salts);
        Chain { salts, count: 0, valid: 0, state, left_out: LeftOut::default(), damage: None }
    }

    /// Adds the next frame. Returns `true` if it is valid, as all before it.
    fn add(&mut self, frame: &Frame<'_>) -> bool {
        self.count += 1;
        // If the header of the file is invalid: the first frame is always of the last generation.
        let is_ours = *self.salts.get_or_insert(frame.salts) == frame.salts;
        if let State::Valid(before) = self.state {
            let computed = frame.checksum(before);
            let matches = computed == frame.stored;
            if is_ours && matches && frame.page != 0 {
                self.valid = self.count;
                self.state = State::Valid(computed);
                return true;
            }
            let has_end = frame.is_commit() && (matches || is_ours && frame.is_whole)
                || frame.is_commit_with_a_flipped_bit(before);
            self.state = State::Broken {
                first: self.count,
                stored: frame.stored,
                computed: Some((computed, frame.is_commit())),
                has_end,
            };
        } else {
            self.add_behind(frame, is_ours);
        }
        if is_ours {
            self.left_out.pages += 1;
            self.left_out.commits += u64::from(frame.is_commit());
        }
        false
    }

    /// Adds a frame behind an invalid one.
    fn add_behind(&mut self, frame: &Frame<'_>, is_ours: bool) {
        let State::Broken { first, stored, computed, has_end } = &mut self.state else { return };
        let mut is_linked = frame.checksum(*stored) == frame.stored;
        if let Some((checksum, was_commit)) = computed.take()
            && frame.checksum(checksum) == frame.stored
        {
            // Only the stored checksum of the frame before is wrong.
            is_linked = true;
            *has_end |= was_commit;
        }
        if is_ours && frame.is_commit() {
            if *has_end && is_linked {
                self.damage.get_or_insert(*first);
            }
            *has_end |= is_linked || frame.is_whole;
        }
        *stored = frame.stored;
    }
}

/// Fills the buffer. Returns `false` if the file ends before.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn stored(bytes: &[u8], at: usize) -> Option<Checksum> {
    Some(Checksum::new(number(bytes, at)?, number(bytes, at + 4)?))
}

fn salts(bytes: &[u8], at: usize) -> Option<Salts> {
    Some(*bytes.get(at..)?.first_chunk()?)
}
