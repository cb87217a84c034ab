//! Bytes that are nearly right.

use rand::Rng;
use rand::rngs::StdRng;

/// Changes some of these bytes: bits flipped, bytes overwritten, taken out, put in, or the end cut off.
pub fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..8) {
            0..=2 => bytes[at] ^= 1 << rng.random_range(0..8),
            3 => bytes[at] = [0, 0x7f, 0x80, 0xff, b'"', b'{', b'\\'][rng.random_range(0..7)],
            4 => drop(bytes.remove(at)),
            5 => bytes.insert(at, rng.random()),
            6 => {
                let end = (at + rng.random_range(1..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..bytes.len());
                bytes.splice(to..to, piece);
            }
            _ if rng.random_bool(0.1) => bytes.truncate(at),
            _ => bytes[at] = rng.random(),
        }
    }
}

/// One of these.
pub fn one<'a, T: ?Sized>(rng: &mut StdRng, of: &[&'a T]) -> &'a T {
    of[rng.random_range(0..of.len())]
}
