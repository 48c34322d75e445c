//! From a linked ELF file to a [`Program`]: code pointers become numbers of entries (M6).
//!
//! The file has to be linked with its relocations kept (`--emit-relocs`), so that every place that holds the address of code is known.

use std::collections::BTreeMap;

use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags, SectionKind, elf,
    read::elf::ElfFile32,
};

use crate::{
    machine::{Instruction, Op, Parts, Program, ProgramError, Segment},
    translate,
};

/// Makes a program with so much memory, in bytes, of a linked file.
///
/// # Errors
/// The file is none that the build makes: another machine's, without relocations, or with code that finds its own address.
pub fn link(file: &[u8], memory: u32) -> Result<Program, LinkError> {
    let file: ElfFile32 = ElfFile32::parse(file)?;
    if file.architecture() != object::Architecture::Riscv32 {
        return Err(LinkError::Machine);
    }
    let mut image = Image::read(&file)?;
    let pointers = image.pointers(&file)?;

    let mut entries: Vec<u32> = pointers.values().map(|pointer| pointer.index).collect();
    entries.sort_unstable();
    entries.dedup();
    let start = image.index(file.entry() as u32)?;
    let parts = |image: &Image| Parts {
        text: image.text.clone(),
        start,
        entries: entries.clone(),
        data: image.segments(),
        memory,
        floor: image.floor,
        hot: Vec::new(),
    };
    // Neither the numbers nor the registers depend on what the pointers hold.
    let numbered = Program::new(parts(&image))?;
    for (address, pointer) in &pointers {
        let number = numbered.number(pointer.index as usize).expect("an entry");
        image.set(*address, pointer.form, number);
    }
    let hot = translate::hot(&numbered, |_| 1);
    Ok(Program::new(Parts { hot, ..parts(&image) })?)
}

/// What is loaded, by address.
struct Image {
    base: u32,
    text: Vec<u32>,
    data: Vec<Segment>,
    floor: u32,
}

/// A place that holds the address of code.
#[derive(Clone, Copy)]
struct Pointer {
    form: Form,
    /// What it points at.
    index: u32,
}

/// How an address is written.
#[derive(Clone, Copy)]
enum Form {
    /// A word of the data.
    Word,
    /// The upper 20 bits, in `lui`.
    High,
    /// The lower 12 bits, in an instruction.
    Low,
}

impl Image {
    fn read(file: &ElfFile32<'_>) -> Result<Image, LinkError> {
        let text = file.section_by_name(".text").ok_or(LinkError::NoText)?;
        let words = text.data()?.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        let mut image = Image { base: text.address() as u32, text: words.collect(), data: Vec::new(), floor: 0 };
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || section.kind() == SectionKind::Text || section.size() == 0 {
                continue;
            }
            let address = section.address() as u32;
            // What ends beyond all addresses is refused with what is too large for the memory.
            let end = address.checked_add(section.size() as u32).and_then(|end| end.checked_next_multiple_of(4));
            image.floor = image.floor.max(end.unwrap_or(u32::MAX));
            let bytes = section.data()?.to_vec();
            if !bytes.is_empty() {
                image.data.push(Segment { address, bytes });
            }
        }
        image.data.sort_by_key(|segment| segment.address);
        Ok(image)
    }

    fn index(&self, address: u32) -> Result<u32, LinkError> {
        let offset = address.wrapping_sub(self.base);
        let within = offset.is_multiple_of(4) && (offset / 4) as usize <= self.text.len();
        if within { Ok(offset / 4) } else { Err(LinkError::Pointer { address }) }
    }

    /// All places that hold the address of code.
    fn pointers(&self, file: &ElfFile32<'_>) -> Result<BTreeMap<u32, Pointer>, LinkError> {
        let base = u64::from(self.base);
        let text = base..base + 4 * self.text.len() as u64;
        let mut pointers = BTreeMap::new();
        let mut has_any = false;
        for section in file.sections() {
            for (address, relocation) in section.relocations() {
                has_any = true;
                let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
                let to = (file.symbol_by_index(symbol)?.address() as u32).wrapping_add(relocation.addend() as u32);
                let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
                let form = match r_type {
                    elf::R_RISCV_32 => Form::Word,
                    elf::R_RISCV_HI20 => Form::High,
                    elf::R_RISCV_LO12_I | elf::R_RISCV_LO12_S => Form::Low,
                    // Distances within the text, and hints for the linker.
                    elf::R_RISCV_BRANCH | elf::R_RISCV_JAL | elf::R_RISCV_RELAX | elf::R_RISCV_ALIGN => continue,
                    _ => return Err(LinkError::Relocation { address: address as u32, kind: r_type }),
                };
                let is_instruction = address.is_multiple_of(4) && text.contains(&address);
                if !is_instruction && !matches!(form, Form::Word) {
                    return Err(LinkError::Relocation { address: address as u32, kind: r_type });
                }
                if text.contains(&to.into()) {
                    pointers.insert(address as u32, Pointer { form, index: self.index(to)? });
                }
            }
        }
        if has_any { Ok(pointers) } else { Err(LinkError::NoRelocations) }
    }

    fn set(&mut self, address: u32, form: Form, number: u32) {
        let low = (number as i32) << 20 >> 20;
        if let Form::Word = form {
            let within = |segment: &&mut Segment| {
                address.checked_sub(segment.address).is_some_and(|at| at as usize + 4 <= segment.bytes.len())
            };
            if let Some(segment) = self.data.iter_mut().find(within) {
                let at = (address - segment.address) as usize;
                segment.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            return;
        }
        let word = &mut self.text[((address - self.base) / 4) as usize];
        let instruction = Instruction::decode(*word);
        let imm = match (form, instruction.op) {
            (Form::High, Op::Lui) => number.wrapping_sub(low as u32) as i32,
            _ => low,
        };
        *word = Instruction { imm, ..instruction }.encode();
    }

    /// The data without the zeros around them, and without long ones in between: memory is zero at the start.
    fn segments(&self) -> Vec<Segment> {
        // Another segment takes some ten bytes of code.
        const GAP: usize = 16;
        let mut segments = Vec::new();
        for Segment { address, bytes } in &self.data {
            // An address that wraps is one that the program's limits refuse.
            let piece = |first: usize, end: usize| Segment {
                address: address.wrapping_add(first as u32),
                bytes: bytes[first..end].to_vec(),
            };
            let mut begin = None;
            let mut end = 0;
            for (at, byte) in bytes.iter().enumerate() {
                if *byte == 0 {
                    continue;
                }
                if let Some(first) = begin
                    && at - end > GAP
                {
                    segments.push(piece(first, end));
                    begin = None;
                }
                begin = begin.or(Some(at));
                end = at + 1;
            }
            if let Some(first) = begin {
                segments.push(piece(first, end));
            }
        }
        segments
    }
}

/// A file that no program can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No ELF file, or a broken one.
    #[error("this is no whole ELF file: {0}")]
    Elf(#[from] object::Error),
    /// For something else.
    #[error("this is not for riscv32")]
    Machine,
    /// Nothing to run.
    #[error("the file has no .text")]
    NoText,
    /// Without them nobody knows where code pointers are.
    #[error("the file has no relocations: link with --emit-relocs")]
    NoRelocations,
    /// A pointer into the middle of an instruction, or out of the text.
    #[error("{address:#x} is no instruction's address")]
    Pointer {
        /// Where it points.
        address: u32,
    },
    /// Code that finds its own address (`auipc`), or another thing that this machine does not have.
    #[error("relocation {kind} at {address:#x}: the code has to be static, without addresses relative to itself")]
    Relocation {
        /// Where it is.
        address: u32,
        /// Its number in the RISC-V ELF specification.
        kind: u32,
    },
    /// Beyond the machine's limits.
    #[error(transparent)]
    Program(#[from] ProgramError),
}
