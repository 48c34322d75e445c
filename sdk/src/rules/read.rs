//! The protocol's own part of positions and actions, read from their bytes.
//!
//! They are what postcard makes of the types. Read by hand they are canonical without being encoded again, and it takes
//! little code, which a dispute pays for by the byte.

use alloc::vec;

use alloy_primitives::B256;

use super::{Action, MAX_ACTION};
use crate::{
    chance::Link,
    game::{Amount, BasisPoints, MAX_SEATS, Pot},
};

/// What of some bytes has not been read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// An [`Action`] within its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acted<'a> {
    Play { play: &'a [u8], link: Option<Link> },
    Reveal(Link),
}

impl<'a> From<&'a Action> for Acted<'a> {
    fn from(action: &'a Action) -> Acted<'a> {
        match action {
            Action::Play { play, link } => Acted::Play { play, link: *link },
            Action::Reveal(link) => Acted::Reveal(*link),
        }
    }
}

impl<'a> Reader<'a> {
    /// A pot as [`Pot::new`] makes them.
    pub(super) fn pot(&mut self) -> Option<Pot> {
        let mut stakes = vec![Amount::ZERO; self.length(MAX_SEATS)?];
        for stake in &mut stakes {
            *stake = Amount::new(self.number()?).ok()?;
        }
        let fee = BasisPoints::new(self.number()?.try_into().ok()?).ok()?;
        Pot::new(stakes, fee).ok()
    }

    /// An action, and nothing after it.
    pub(super) fn action(mut self) -> Option<Acted<'a>> {
        let action = match self.byte()? {
            0 => {
                let length = self.length(MAX_ACTION)?;
                let play = self.take(length)?;
                let link = match self.byte()? {
                    0 => None,
                    1 => Some(self.link()?),
                    _ => return None,
                };
                Acted::Play { play, link }
            }
            1 => Acted::Reveal(self.link()?),
            _ => return None,
        };
        self.0.is_empty().then_some(action)
    }

    fn link(&mut self) -> Option<Link> {
        if self.byte()? != 32 {
            return None;
        }
        self.take(32).map(B256::from_slice)
    }

    fn length(&mut self, most: usize) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= most).then_some(length)
    }

    /// A number of 98 bits at most, seven in a byte, the lowest first.
    fn number(&mut self) -> Option<u128> {
        const MOST: usize = 14;
        let length = self.0.iter().take(MOST).position(|byte| *byte < 0x80)? + 1;
        let digits = self.take(length)?;
        // A zero at the end would be a second way to write the same number.
        if length > 1 && digits[length - 1] == 0 {
            return None;
        }
        Some(digits.iter().rev().fold(0, |number, digit| number << 7 | u128::from(digit & 0x7f)))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::local::Dice;

    /// An encoding, or one with something wrong: a flipped bit, a byte more or less, a number written the long way.
    fn damaged(dice: &mut Dice, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = dice.below(bytes.len() as u32) as usize;
        match dice.below(5) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, dice.below(256) as u8),
            3 => {
                bytes[at] |= 0x80;
                bytes.insert(at + 1, 0);
            }
            _ => {}
        }
        bytes
    }

    fn amount(dice: &mut Dice) -> Amount {
        let bits = dice.below(94);
        let random = u128::from_le_bytes(dice.bytes()[..16].try_into().unwrap());
        Amount::new(random >> (128 - bits).min(127)).unwrap()
    }

    #[test]
    fn a_pot_is_read_exactly_where_its_canonical_encoding_is() {
        let mut read = 0;
        for seed in 0..20_000 {
            let mut dice = Dice::new(seed);
            let stakes = (0..2 + dice.below(7)).map(|_| amount(&mut dice)).collect();
            let fee = BasisPoints::new(dice.below(10_001) as u16).unwrap();
            let bytes = postcard::to_allocvec(&Pot::new(stakes, fee).unwrap()).unwrap();
            let bytes = damaged(&mut dice, bytes);

            let mut reader = Reader(&bytes);
            let told = reader.pot().map(|pot| (pot, reader.0));
            let decoded = postcard::take_from_bytes::<Pot>(&bytes).ok().filter(|(pot, rest)| {
                let canonical = postcard::to_allocvec(pot).unwrap();
                canonical == bytes[..bytes.len() - rest.len()]
                    && Pot::new(pot.stakes().to_vec(), pot.fee()) == Ok(pot.clone())
            });
            assert_eq!(told, decoded, "seed {seed}");
            read += u32::from(told.is_some());
        }
        assert!((4_000..19_000).contains(&read), "{read}");
    }

    #[test]
    fn an_action_is_read_exactly_where_it_is_canonical() {
        let mut read = 0;
        for seed in 0..20_000 {
            let mut dice = Dice::new(seed);
            let link = B256::from(dice.bytes());
            let action = match dice.below(3) {
                0 => Action::Reveal(link),
                link_is_given => {
                    let play = dice.bytes().repeat(5)[..dice.below(160) as usize].to_vec();
                    Action::Play { play, link: (link_is_given == 1).then_some(link) }
                }
            };
            let bytes = damaged(&mut dice, action.encode());
            let decoded = postcard::from_bytes::<Action>(&bytes).ok().filter(|action| action.encode() == bytes);
            assert_eq!(Reader(&bytes).action(), decoded.as_ref().map(Acted::from), "seed {seed}");
            read += u32::from(decoded.is_some());
        }
        assert!((4_000..19_000).contains(&read), "{read}");
    }
}
