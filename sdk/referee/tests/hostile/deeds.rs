/// What every machine agrees on; the parts that take the most code are in one of two packages.
#[inline(never)]
fn deed(what: u8, n: u32) -> Option<u64> {
    let wide = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Some(match what {
        0 => {
            let shared = Arc::new(AtomicU32::new(n));
            let other = Arc::clone(&shared);
            other.fetch_add(3, Ordering::Relaxed);
            drop(other);
            u64::from(shared.load(Ordering::Relaxed)) << 8 | Arc::strong_count(&shared) as u64
        }
        1 if PARTS[0] => {
            let mut map = BTreeMap::new();
            for at in 0..40u32 {
                map.insert(at.wrapping_mul(n | 1) % 31, at);
            }
            map.remove(&(n % 31));
            map.iter().fold(0, |sum: u64, (key, value)| sum.wrapping_mul(37) ^ u64::from(key ^ value))
        }
        2 if PARTS[1] => {
            let mut list: Vec<u32> = (0..60).map(|at: u32| at.wrapping_mul(wide as u32 ^ at)).collect();
            list.sort_unstable();
            list.dedup_by_key(|word| *word >> 26);
            list.iter().rev().fold(7, |sum: u64, word| sum.rotate_left(5) ^ u64::from(*word))
        }
        3 => wide / u64::from(black_box(n | 1)) ^ wide % u64::from(black_box(n / 3 | 1)),
        4 if PARTS[1] => {
            let wider = u128::from(wide) * u128::from(wide) + u128::from(n);
            (wider / (u128::from(black_box(n)) << 40 | 5)) as u64 ^ (wider % (u128::from(wide) | 1 << 90)) as u64
        }
        5 => {
            let (a, b) = (wide as i64, i64::from(n as i32) | 1);
            (black_box(a) / b ^ black_box(a) % b).wrapping_add((wide as i32 >> (n % 32)).into()) as u64
        }
        6 => {
            let shapes: [&dyn Shape; 3] = [&Square(n % 1000), &Line(n), &Square(7)];
            shapes.iter().cycle().skip(n as usize % 3).take(5).map(|shape| black_box(*shape).area()).sum()
        }
        7 => {
            const STEPS: [fn(u64) -> u64; 4] =
                [|x| x.rotate_left(7), |x| x ^ 0x55aa, |x| x.wrapping_mul(3), |x| x.wrapping_sub(1 << 40)];
            (0..8).fold(wide, |x, at| black_box(STEPS)[(n >> (2 * at)) as usize % 4](x))
        }
        8 => (0..12).fold(0, |sum, at| sum * 3 + u64::from(kind(n.wrapping_add(at * 11)))),
        9 => {
            let mut text = String::new();
            for at in 0..n % 20 {
                text.push(char::from_u32(0x61 + at * 97).unwrap_or('x'));
            }
            text.chars().rev().fold(text.len() as u64, |sum, char| sum.wrapping_mul(31) ^ u64::from(char.to_ascii_uppercase()))
        }
        10 => u64::from(n.leading_zeros() << 16 | n.count_ones() << 8 | n.swap_bytes().trailing_zeros()),
        11 => {
            let number = n.checked_mul(3).and_then(|n| n.checked_sub(9)).map_or(u64::MAX, u64::from);
            number ^ u64::from(n.saturating_add(u32::MAX - 5)) ^ u64::from(n.wrapping_shl(n))
        }
        12 => u64::from(sum_to(n % 40)),
        13 => {
            // Words that lie across words.
            let mut bytes = [0u8; 23];
            let at = n as usize % 15;
            bytes[at..at + 8].copy_from_slice(&wide.to_be_bytes());
            let read = u64::from_le_bytes(black_box(&bytes)[at / 2..at / 2 + 8].try_into().ok()?);
            read ^ u64::from(u16::from_le_bytes([bytes[at + 1], bytes[at + 2]]))
        }
        _ => return None,
    })
}

trait Shape {
    fn area(&self) -> u64;
}

struct Square(u32);
struct Line(u32);

impl Shape for Square {
    fn area(&self) -> u64 {
        u64::from(self.0) * u64::from(self.0)
    }
}

impl Shape for Line {
    fn area(&self) -> u64 {
        u64::from(self.0 ^ 0xffff)
    }
}

/// Enough branches for a table of jumps.
#[inline(never)]
fn kind(n: u32) -> u32 {
    match n % 12 {
        0 => n ^ 3,
        1 => n / 7,
        2 => n.rotate_left(9),
        3 => sum_to(n % 5),
        4 => n % 1001,
        5 => !n,
        6 => n.wrapping_mul(n),
        7 => 77,
        8 => n.count_ones(),
        9 => n >> 3,
        10 => n.reverse_bits(),
        _ => n & 0x0f0f_0f0f,
    }
}

#[inline(never)]
fn sum_to(n: u32) -> u32 {
    if black_box(n) == 0 { 0 } else { n + sum_to(n - 1) }
}
