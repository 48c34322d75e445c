//! Parts of a sum, exactly and rounded down, by school arithmetic on 16-bit digits.
//!
//! The language divides 128-bit numbers as well. But a game's rules also run on the chain, compiled for a processor of 32
//! bits, where that division is more code than all the rest of a small game, and every byte of it is paid for in a
//! dispute.

/// Defines a function for `units * times / by`, rounded down, with what rounding left: `$word` holds any digit times
/// `times` with a carry, and any remainder with a digit after it.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident, $factor:ty, $divisor:ty, $word:ty, $digits:literal) => {
        $(#[$doc])*
        pub(super) fn $name(units: u128, times: $factor, by: $divisor) -> (u128, $divisor) {
            let units = units.to_le_bytes();
            let (factors, _) = units.as_chunks();
            // The product, the lowest digit first.
            let mut digits = [0u16; $digits];
            let mut carry = 0;
            for (i, digit) in digits.iter_mut().enumerate() {
                let factor = factors.get(i).map_or(0, |factor| u16::from_le_bytes(*factor));
                let sum = <$word>::from(factor) * <$word>::from(times) + carry;
                *digit = sum as u16;
                carry = sum >> 16;
            }
            let mut part = [0; 16];
            let mut rest = 0;
            for (i, digit) in digits.into_iter().enumerate().rev() {
                let dividend = rest << 16 | <$word>::from(digit);
                let quotient = (dividend / <$word>::from(by)) as u16;
                if let Some(place) = part.as_chunks_mut().0.get_mut(i) {
                    *place = quotient.to_le_bytes();
                }
                rest = dividend % <$word>::from(by);
            }
            (u128::from_le_bytes(part), rest as $divisor)
        }
    };
}

part! {
    /// `units * times / by`, rounded down, and the rest. The product has to fit 128 bits; `by` must not be 0.
    part, u16, u16, u32, 8
}

part! {
    /// The same for larger factors: the product has to fit 160 bits, the quotient 128, `by` 48.
    part_wide, u32, u64, u64, 10
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;
    use crate::local::Dice;

    fn expected(units: u128, times: u64, by: u64) -> (u128, u64) {
        let (part, rest) = (U256::from(units) * U256::from(times)).div_rem(U256::from(by));
        (part.to(), rest.to())
    }

    /// Numbers of every length, and the ones beside the powers of two.
    fn number(dice: &mut Dice, bits: u32) -> u128 {
        let bytes: [u8; 32] = dice.bytes();
        let random = u128::from_le_bytes(bytes[..16].try_into().unwrap()) >> (128 - bits);
        match dice.below(4) {
            0 => random,
            1 => random >> dice.below(bits),
            2 => (1 << dice.below(bits)) - 1,
            _ => 1 << dice.below(bits),
        }
    }

    #[test]
    fn parts_are_what_arithmetic_without_a_limit_says() {
        for seed in 0..20_000 {
            let mut dice = Dice::new(seed);
            let (units, times) = (number(&mut dice, 112), number(&mut dice, 16) as u16);
            let by = (number(&mut dice, 16) as u16).max(times).max(1);
            let told = part(units, times, by);
            assert_eq!(
                (told.0, told.1.into()),
                expected(units, times.into(), by.into()),
                "seed {seed}: {units} * {times} / {by}"
            );

            let (units, times) = (number(&mut dice, 112), number(&mut dice, 32) as u32);
            let by = (number(&mut dice, 47) as u64).max(times.into()).max(1);
            let told = part_wide(units, times, by);
            assert_eq!(told, expected(units, times.into(), by), "seed {seed}: {units} * {times} / {by}");
        }
    }

    #[test]
    fn the_largest_numbers_fit() {
        let units = (1 << 112) - 1;
        assert_eq!(part(units, u16::MAX, u16::MAX), (units, 0));
        assert_eq!(part_wide(units, u32::MAX, u32::MAX.into()), (units, 0));
        assert_eq!(part_wide(units, u32::MAX, (1 << 48) - 1), expected(units, u32::MAX.into(), (1 << 48) - 1));
    }
}
