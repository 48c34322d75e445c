/// A game whose moves each do one thing: something that stops a program, or something that programs like to do. Compiled for the chain in three
/// packages, since all of it is more than a contest carries; and for the tests themselves, as a module.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Hostile;

/// What is done, and a number to do it with.
type Do = (u8, u32);

#[derive(Debug)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl core::error::Error for Refused {}

impl Game for Hostile {
    const NAME: &'static str = "hostile";
    type Board = Vec<u8>;
    type Move = Do;
    type Error = Refused;

    fn max_turns(&self) -> u32 {
        1
    }

    fn start(&self, _: usize) -> Vec<u8> {
        Vec::new()
    }

    fn next(&self, board: &Vec<u8>, pot: &Pot) -> Next {
        if board.is_empty() { Next::turn(Seat(0), pot) } else { Next::Over(pot.winner(Seat(board[0] % 2))) }
    }

    fn play(&self, _: &Vec<u8>, _: Seat, action: &Do) -> Result<Vec<u8>, Refused> {
        let (what, n) = *action;
        let said = match what {
            0..64 => deed(what, n).ok_or(Refused)?,
            _ => trap(what, n).ok_or(Refused)?,
        };
        Ok(said.to_le_bytes().to_vec())
    }
}
