//! Changes of inputs, the same in every run: what libFuzzer does, without looking at where the program goes.

/// What parsers care about.
const PIECES: &[&[u8]] = &[
    b"/",
    b"//",
    b"..",
    b"%2e",
    b"%2F",
    b"%25",
    b"%00",
    b";",
    b"?",
    b"#",
    b"\\",
    b"\n",
    b"\t",
    b" ",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e309",
    b"9223372036854775808",
    b"**",
    b"{id}",
    b"*.",
    b"Bearer ",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"&a *a",
    b"!!str",
    b"|",
];

/// Makes inputs of a corpus.
pub(crate) struct Mutator<'c> {
    corpus: &'c [Vec<u8>],
    state: u64,
}

impl<'c> Mutator<'c> {
    pub(crate) fn new(corpus: &'c [Vec<u8>]) -> Self {
        Self { corpus, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// An input with one to four changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut data = self.corpus[self.below(self.corpus.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut data);
        }
        data
    }

    fn change(&mut self, data: &mut Vec<u8>) {
        let at = self.below(data.len() + 1);
        let end = (at + self.below(8)).min(data.len());
        match self.below(6) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 => drop(data.drain(at..end)),
            2 => drop(data.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
            3 => drop(data.splice(at..end, PIECES[self.below(PIECES.len())].iter().copied())),
            4 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            _ => {
                let other = &self.corpus[self.below(self.corpus.len())];
                let from = self.below(other.len() + 1);
                data.splice(at.., other[from..].iter().copied());
            }
        }
    }

    /// A number below `limit` (xorshift64*).
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from(self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit).unwrap()
    }
}
