//! Inputs for long fuzz runs: documents of a corpus, cut, spliced and spoiled.
//!
//! Must not enter: what is read. Invariant: the same seed makes the same inputs, so that what fails can be had again.

use std::{fs, path::PathBuf};

const MOST: usize = 32 << 10;

pub struct Mutation {
    corpus: Vec<Vec<u8>>,
    words: &'static [&'static str],
    state: u64,
}

impl Mutation {
    /// Of the files in a directory of `tests/data`.
    pub fn of(dir: &str, words: &'static [&'static str]) -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(dir);
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        Self::new(files.iter().map(|f| fs::read(f).unwrap()).collect(), words)
    }

    pub fn new(mut corpus: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        corpus.iter_mut().for_each(|text| text.truncate(MOST / 8));
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15);
        Self { corpus, words, state: seed }
    }

    /// How many inputs a run has.
    pub fn runs() -> u32 {
        std::env::var("FUZZ_RUNS").ok().and_then(|s| s.parse().ok()).unwrap_or(1_000_000)
    }

    /// Xorshift.
    pub fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) as usize % below.max(1)
    }

    pub fn next(&mut self) -> Vec<u8> {
        let first = self.random(self.corpus.len());
        let mut text = self.corpus[first].clone();
        for _ in 0..=self.random(8) {
            let at = self.random(text.len() + 1);
            let end = (at + 1 + self.random(40)).min(text.len());
            match self.random(8) {
                0 if at < text.len() => text[at] ^= 1 << self.random(8),
                1 if at < text.len() => text[at] = self.random(256) as u8,
                2 => drop(text.drain(at.min(end)..end)),
                3 => {
                    let again = text[at.min(end)..end].to_vec();
                    text.splice(at..at, again);
                }
                4 => {
                    let word = self.words[self.random(self.words.len())];
                    text.splice(at..at, word.bytes());
                }
                5 => text.truncate(at),
                6 => {
                    let other = self.random(self.corpus.len());
                    let from = self.random(self.corpus[other].len() + 1);
                    text.truncate(at);
                    text.extend_from_slice(&self.corpus[other][from..]);
                }
                _ => {
                    let bytes: Vec<u8> = (0..self.random(20)).map(|_| self.random(256) as u8).collect();
                    text.splice(at..at, bytes);
                }
            }
        }
        text.truncate(MOST);
        text
    }
}
