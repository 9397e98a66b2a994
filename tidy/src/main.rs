//! Shows the prose of the repository: a random sample, or the share of comments with a banned opening.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tidy::prose::{self, Block};
use tidy::repository;
use tidy::words::opening_of;

const USAGE: &str = "usage: cargo run -p tidy -- sample [SEED] | openings";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["sample"] => sample(seed_of_the_clock()),
        ["sample", seed] => match seed.parse() {
            Ok(seed) => sample(seed),
            Err(_) => return usage(),
        },
        ["openings"] => openings(),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Prints ten doc comments, ten help texts and ten paragraphs of the docs.
fn sample(seed: u64) {
    println!("seed {seed}");
    let rust = repository::files("crates", &[".rs"]);
    let comments = rust.iter().flat_map(prose::comments).filter(|block| block.lines.len() > 1);
    let help = rust.iter().flat_map(prose::help_texts);
    let docs = repository::files(".", &[".md"]);
    let paragraphs =
        docs.iter().flat_map(prose::paragraphs).filter(|block| !is_heading_or_row(block));
    let mut random = Random(seed);
    for (title, blocks) in [
        ("doc comments", comments.collect::<Vec<_>>()),
        ("help texts", help.collect()),
        ("paragraphs of the docs", paragraphs.collect()),
    ] {
        println!("\n== {title}");
        for block in random.draw(blocks, 10) {
            println!("\n{}:{}", block.path, block.line);
            for line in block.lines {
                println!("    {line}");
            }
        }
    }
}

fn is_heading_or_row(block: &Block) -> bool {
    block.lines.first().is_some_and(|line| line.starts_with(['#', '|']))
}

/// Prints how many comments, and sentences at the start of a comment line, have a banned opening.
fn openings() {
    let (mut all, mut banned) = (0_u32, 0_u32);
    for folder in ["crates", "bench"] {
        for file in repository::files(folder, &[".rs"]) {
            for block in prose::comments(&file) {
                for (_, sentence) in block.sentences() {
                    all += 1;
                    banned += u32::from(opening_of(sentence).is_some());
                }
            }
        }
    }
    let share = f64::from(banned) * 100.0 / f64::from(all.max(1));
    println!("{banned} of {all} sentences at a line's start have a banned opening: {share:.2} %");
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs()
}

/// A small random number generator (splitmix64), so that a seed draws the same sample on every machine.
struct Random(u64);

impl Random {
    fn draw(&mut self, mut blocks: Vec<Block>, count: usize) -> Vec<Block> {
        let mut drawn = Vec::new();
        while drawn.len() < count && !blocks.is_empty() {
            let length = u64::try_from(blocks.len()).unwrap_or(1);
            let index = usize::try_from(self.next() % length).unwrap_or(0);
            drawn.push(blocks.swap_remove(index));
        }
        drawn
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
