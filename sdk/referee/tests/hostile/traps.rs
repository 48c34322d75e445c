/// What stops a program; `None` where it does not even.
#[inline(never)]
fn trap(what: u8, n: u32) -> Option<u64> {
    Some(match what {
        64 => black_box(None::<u32>).unwrap().into(),
        65 => black_box([1, 2, 3])[n as usize],
        66 => unreachable!(),
        67 => panic!("{n} is not to be"),
        68 => {
            assert!(n > 1_000_000_000);
            1
        }
        69 => (n + black_box(u32::MAX)).into(),
        70 => (black_box(0) - n).into(),
        71 => (n * black_box(1 << 31)).into(),
        72 => (n / black_box(0)).into(),
        73 => u64::from(n) % black_box(0),
        74 => (black_box(i32::MIN) / black_box(-1)) as u64,
        75 => {
            let cell = RefCell::new(n);
            let _held = cell.borrow_mut();
            (*black_box(&cell).borrow()).into()
        }
        76 => black_box("a€").get(..).map(|text| text[..2].len() as u64)?,
        77 => black_box(vec![1u8; n as usize]).len() as u64,
        78 => Vec::<u64>::with_capacity(n as usize).capacity() as u64,
        79 => deep(n),
        80 => deep(u32::MAX),
        81 => {
            let mut list = None;
            for _ in 0..n {
                list = Some(Box::new(Node { _next: list, _last: Noise(n) }));
            }
            drop(black_box(list));
            1
        }
        85 => loop {
            black_box(n);
        },
        86 => loop {
            black_box(Vec::<u8>::with_capacity(500).leak());
        },
        87 => {
            let mut list = Vec::new();
            loop {
                list.push(black_box(n));
            }
        }
        _ => return wild(what, n),
    })
}

#[inline(never)]
fn deep(n: u32) -> u64 {
    let room = black_box([n; 16]);
    if n == 0 { 0 } else { deep(n - 1) + u64::from(room[3]) }
}

struct Node {
    _next: Option<Box<Node>>,
    _last: Noise,
}

struct Noise(u32);

impl Drop for Noise {
    fn drop(&mut self) {
        black_box(self.0);
    }
}

/// What stops a program, and cannot be written in Rust that is safe.
#[inline(never)]
fn wild(what: u8, n: u32) -> Option<u64> {
    // SAFETY: there is none: what these do is nothing that the language has a say in.
    unsafe {
        match what {
            92 => return Some((black_box(n as usize) as *const u32).read_volatile().into()),
            93 => (black_box(n as usize) as *mut u32).write_volatile(7),
            94 => return Some(transmute::<usize, extern "C" fn() -> u64>(black_box(n as usize))()),
            96 => asm!("ebreak"),
            97 => asm!("unimp"),
            98 => asm!("li a7, 5", "ecall", out("a7") _),
            99 => asm!("nop", "ecall"),
            100 => asm!("li a7, 1", "ecall", in("a0") 0, in("a1") 2049, in("a2") 0, out("a7") _),
            101 => asm!("li a7, 0", "ecall", in("a0") 0, in("a1") 32_867, out("a7") _),
            102 => asm!(".word 0x0020006f"), // a jump by two bytes
            103 => asm!(".word 0xc00022f3", out("t0") _),
            104 => asm!(".word 0"),
            105 => asm!(".word 0x00000297", out("t0") _),
            _ => return None,
        }
    }
    Some(1)
}
