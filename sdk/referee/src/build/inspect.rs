//! What came out of the compiler: how large it is, and whether it has what has no place on the chain.

use std::collections::BTreeSet;

use object::{
    Object, ObjectSection, ObjectSymbol, SymbolKind,
    read::{RelocationTarget, elf::ElfFile32},
};

use super::{BuildError, Memory};

/// Most bytes of code: translated, they are 2.3 times as many, and a contract's creation takes 49,152.
pub const MAX_TEXT: u32 = 20 * 1024;
/// Bytes of memory that have to be left for the heap and the question: the largest question and answer of a small game.
pub const MIN_FREE: u32 = 8 * 1024;

/// What the parts of a program weigh, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Code.
    pub text: u32,
    /// Constants.
    pub constants: u32,
    /// Variables.
    pub variables: u32,
}

/// Weighs a program, and refuses what has no place on the chain.
pub(super) fn inspect(elf: &[u8], memory: Memory) -> Result<Size, BuildError> {
    let elf: ElfFile32 = ElfFile32::parse(elf)?;
    let of = |name| elf.section_by_name(name).map_or(0, |section| section.size() as u32);
    let size = Size { text: of(".text"), constants: of(".rodata"), variables: of(".data") + of(".bss") };

    let callers = callers_of_floats(&elf);
    if !callers.is_empty() {
        return Err(BuildError::Floats { callers });
    }
    if size.text > MAX_TEXT {
        return Err(BuildError::TextTooLarge { text: size.text });
    }
    let data = size.constants + size.variables;
    if data.saturating_add(memory.stack).saturating_add(MIN_FREE) > memory.size {
        return Err(BuildError::DataTooLarge { data, stack: memory.stack, size: memory.size });
    }
    Ok(size)
}

/// The functions that call the compiler's own routines for floating-point numbers: without hardware for them, all do.
fn callers_of_floats(elf: &ElfFile32) -> Vec<String> {
    let functions: Vec<_> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter_map(|symbol| Some((symbol.address()..symbol.address() + symbol.size(), symbol.name().ok()?)))
        .collect();
    let mut callers = BTreeSet::new();
    for section in elf.sections() {
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(target) = relocation.target() else { continue };
            let called = elf.symbol_by_index(target).and_then(|symbol| symbol.name().map(str::to_owned));
            if !called.is_ok_and(|called| is_float_routine(&called)) {
                continue;
            }
            // The routines call each other; what matters is who called the first.
            let caller =
                functions.iter().find(|(range, _)| range.contains(&offset)).map_or("a constant", |(_, name)| name);
            if !is_float_routine(caller) && !caller.contains("compiler_builtins") {
                callers.insert(caller.to_owned());
            }
        }
    }
    callers.into_iter().collect()
}

/// `__adddf3`, `__floatsisf`, `__ltsf2` and all the others, by the names that every compiler has for them: `sf` and `df` are
/// the two sizes of numbers, `hf` and `tf` a smaller and a larger one.
fn is_float_routine(name: &str) -> bool {
    const WORDS: [&str; 18] = [
        "add", "sub", "mul", "div", "neg", "powi", "eq", "ne", "lt", "le", "gt", "ge", "unord", "cmp", "extend",
        "trunc", "fix", "float",
    ];
    let Some(name) = name.strip_prefix("__") else { return false };
    WORDS
        .iter()
        .filter_map(|word| name.strip_prefix(word))
        .any(|rest| ["hf", "sf", "df", "tf"].iter().any(|f| rest.contains(f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routines_for_floats_are_known_by_their_names() {
        for name in ["__adddf3", "__mulsf3", "__floatunsidf", "__fixunssfdi", "__ltsf2", "__extendsfdf2", "__powidf2"] {
            assert!(is_float_routine(name), "{name}");
        }
        for name in ["__udivdi3", "__multi3", "memcpy", "__ashldi3", "referee", "__addvsi3"] {
            assert!(!is_float_routine(name), "{name}");
        }
    }
}
