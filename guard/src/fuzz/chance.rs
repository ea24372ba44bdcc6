//! Pseudo-random numbers from a seed.

/// SplitMix64.
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    /// For the input `number` of a run. It does not depend on earlier inputs.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut chance = Self(seed);
        let start = chance.number();
        Self(start ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Changes `bytes` a little: flips, inserts, deletes, copies, cuts.
    pub fn garble(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: &[u8] = b"\0\t\n\r \"'+,-./0159:=AEZ[\\]_aez{}\x7f\x80\xc0\xed\xef\xff";
        for _ in 0..=self.below(3) {
            let end = bytes.len();
            let byte = if self.once_in(3) { self.number() as u8 } else { *self.pick(TELLING) };
            match self.below(8) {
                0 | 1 if end > 0 => bytes[self.below(end)] ^= 1 << self.below(8),
                2 if end > 0 => bytes[self.below(end)] = byte,
                3 if end > 0 => drop(bytes.remove(self.below(end))),
                4 if end > 0 => {
                    let from = self.below(end);
                    let to = (from + 1 + self.below(16)).min(end);
                    let piece = bytes[from..to].to_vec();
                    let at = self.below(end);
                    if self.once_in(2) {
                        drop(bytes.splice(at..at, piece));
                    } else {
                        drop(bytes.splice(at..(at + piece.len()).min(end), piece));
                    }
                }
                5 if self.once_in(4) => bytes.truncate(self.below(end + 1)),
                6 if end > 1 => {
                    let (one, other) = (self.below(end), self.below(end));
                    bytes.swap(one, other);
                }
                _ => bytes.insert(self.below(end + 1), byte),
            }
        }
    }
}
