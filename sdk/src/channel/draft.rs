//! Deciding: what an input leads to, as events and effects.

use alloc::vec::Vec;

use alloy_primitives::B256;

use super::{Channel, ChannelError, Cursor, Effect, Event, Evidence, Fault, HeaderField, Notice};
use crate::{
    abi::{self, State},
    dispute::Shown,
    game::Seat,
    rules::Placed,
    sign::{self, Signature, Signer},
    wire::{Arrived, ToServer, Turn},
};

/// A step in the making.
pub(super) struct Draft<'a> {
    pub(super) channel: &'a Channel,
    pub(super) signer: &'a dyn Signer,
    pub(super) at: Option<Cursor>,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
}

impl Draft<'_> {
    fn at(&self) -> &Cursor {
        self.at.as_ref().unwrap_or(&self.channel.at)
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        self.effects.push(Effect::Notify(notice));
    }

    fn send(&mut self, frame: ToServer) {
        self.effects.push(Effect::Send(frame));
    }

    fn state_digest(&self) -> B256 {
        abi::digest(&self.channel.separator, self.at().hash.0)
    }

    pub(super) fn guarantee(
        &mut self,
        mut signatures: Vec<Signature>,
        operator: Signature,
    ) -> Result<(), ChannelError> {
        let id = self.channel.id;
        self.all_seats(id.0, &signatures)?;
        sign::verify(id.0, &operator, self.channel.proposal.operator)?;
        let start = self.signer.sign(self.state_digest())?;
        signatures.push(operator);
        self.events.push(Event::Guaranteed { guarantee: signatures, start });
        self.send(ToServer::Start { match_id: id, signature: start });
        Ok(())
    }

    pub(super) fn open(&mut self, opening: Vec<Signature>) -> Result<(), ChannelError> {
        self.all_seats(self.state_digest(), &opening)?;
        self.events.push(Event::Opened { opening });
        self.notify(Notice::Opened);
        self.go_on()
    }

    /// A court has taken the match, so every seat has signed State 0 or what follows from it (R7.3), though nobody has brought
    /// these signatures here: a lost frame before the server's end, or an opponent who opened the match behind this seat's back. This
    /// seat has signed State 0 itself, and what it does not know of it could lose it.
    pub(super) fn open_in_court(&mut self, start: Signature) {
        let mut opening = alloc::vec![Signature::NONE; self.channel.players().len()];
        opening[self.channel.seat().index()] = start;
        self.events.push(Event::Opened { opening });
        self.notify(Notice::Opened);
    }

    pub(super) fn play(&mut self, play: Vec<u8>) -> Result<(), ChannelError> {
        let (channel, at) = (self.channel, self.at());
        let seat = channel.seat();
        let mover = at.state.mover().ok_or(ChannelError::Over)?;
        if mover != seat {
            return Err(ChannelError::NotYourTurn { seat, mover, turn: at.state.turn + 1 });
        }
        let composed = channel.rules.compose(&at.placed.position, seat, play, &|tip| channel.chain.after(tip))?;
        self.act(composed.0.encode(), composed.1)?;
        self.go_on()
    }

    /// Signs and sends this seat's own turn.
    fn act(&mut self, action: Vec<u8>, placed: Placed) -> Result<(), ChannelError> {
        let channel = self.channel;
        let at = self.at().step(channel.id, channel.terms(), &action, placed, None)?;
        let signature = self.signer.sign(abi::digest(&channel.separator, at.hash.0))?;
        let turn = Turn { state: at.state.clone(), action, signature };
        self.events.push(Event::Turned(turn.clone()));
        self.send(ToServer::Turn { match_id: channel.id, turn });
        self.turned(channel.seat(), at);
        Ok(())
    }

    pub(super) fn turn(&mut self, turn: Turn) -> Result<(), ChannelError> {
        let channel = self.channel;
        let at = self.at();
        let number = turn.state.turn;
        if number > at.state.turn + 1 {
            return Err(ChannelError::Gap { turn: number, have: at.state.turn });
        }
        if channel.holds(&turn) {
            return Ok(());
        }
        let author = if number <= at.state.turn { channel.author(number) } else { at.state.mover() };
        let author = author.ok_or(ChannelError::Over)?;
        let digest = abi::digest(&channel.separator, turn.state.hash(channel.id).0);
        sign::verify(digest, &turn.signature, channel.key(author))?;
        // The author's signature stands. What is wrong from here on is the author's fault, and evidence; but for what anybody
        // can do to a turn on its way.
        let followed = if number <= at.state.turn {
            Err(Fault::Equivocation)
        } else {
            at.follow(channel.id, channel.terms(), &*channel.rules, &turn)
        };
        match followed {
            Ok(next) => {
                self.events.push(Event::Turned(turn));
                self.turned(author, next);
                self.go_on()
            }
            Err(Fault::Unlinked) => Err(ChannelError::Unlinked { turn: number }),
            Err(Fault::Header { field: HeaderField::Move }) => Err(ChannelError::OtherMove { turn: number }),
            Err(fault) => {
                let evidence = Evidence { seat: author, turn, fault };
                self.events.push(Event::Faulted(evidence.clone()));
                self.notify(Notice::Faulted(evidence));
                Ok(())
            }
        }
    }

    /// Takes up what a court was shown, as far as it goes on from here and each header is its author's, by a signature on it or
    /// on a later one (R4.5, R7.3). Branches are the court's business, and so is what the rules forbid and its author signed
    /// only by what comes after: as evidence of its own it would frame anybody.
    pub(super) fn shown(&mut self, shown: &[Shown]) -> Result<(), ChannelError> {
        for (i, Shown { state, action, signatures }) in shown.iter().enumerate() {
            let at = self.at();
            if state.turn <= at.state.turn {
                continue;
            }
            let Some(author) = at.state.mover().filter(|_| state.prev == at.hash) else { break };
            let own = signatures.iter().map(|(_, signature)| *signature).find(|own| self.signed(author, state, own));
            let signature = own.unwrap_or(Signature::NONE);
            let turn = Turn { state: state.clone(), action: action.clone(), signature };
            if own.is_some() {
                self.turn(turn)?;
            } else {
                let next = at.follow(self.channel.id, self.channel.terms(), &*self.channel.rules, &turn);
                let Some(next) = next.ok().filter(|_| self.acknowledged(author, &shown[i..])) else { break };
                self.events.push(Event::Turned(turn));
                self.turned(author, next);
                self.go_on()?;
            }
            if let Some(Event::Faulted(_)) = self.events.last() {
                break;
            }
        }
        // With nothing new, a link may be due from State 0 on.
        if shown.is_empty() { self.go_on() } else { Ok(()) }
    }

    /// Whether this seat signed one of these headers, with all before it linked to the first.
    fn acknowledged(&self, seat: Seat, shown: &[Shown]) -> bool {
        let mut prev = None;
        for Shown { state, signatures, .. } in shown {
            if prev.is_some_and(|prev| state.prev != prev) {
                return false;
            }
            if signatures.iter().any(|(_, signature)| self.signed(seat, state, signature)) {
                return true;
            }
            prev = Some(state.hash(self.channel.id));
        }
        false
    }

    fn signed(&self, seat: Seat, state: &State, signature: &Signature) -> bool {
        let digest = abi::digest(&self.channel.separator, state.hash(self.channel.id).0);
        sign::verify(digest, signature, self.channel.key(seat)).is_ok()
    }

    fn turned(&mut self, seat: Seat, at: Cursor) {
        self.notify(Notice::Turned { seat, turn: at.state.turn });
        self.at = Some(at);
    }

    /// What this seat does by itself: give its link where one is due (R5.13), acknowledge the final state (R5.7, R6.1).
    fn go_on(&mut self) -> Result<(), ChannelError> {
        let channel = self.channel;
        let seat = channel.seat();
        loop {
            let at = self.at();
            if at.state.is_final() {
                break;
            }
            if at.state.mover() != Some(seat) || !at.placed.reveal {
                return Ok(());
            }
            let revealed = channel.rules.reveal(&at.placed.position, seat, &|tip| channel.chain.after(tip))?;
            self.act(revealed.0.encode(), revealed.1)?;
        }
        let payouts = self.at().state.payouts.clone();
        let turn = self.at().state.turn;
        let signature = self.signer.sign(self.state_digest())?;
        self.events.push(Event::Acked(signature));
        // The author's signature is in its turn already.
        let own =
            matches!(self.effects.last(), Some(Effect::Notify(Notice::Turned { seat: author, .. })) if *author == seat);
        if !own {
            self.send(ToServer::Ack { match_id: channel.id, turn, signature });
        }
        self.notify(Notice::Over { payouts });
        Ok(())
    }

    pub(super) fn conclude(&mut self, mut signatures: Vec<Signature>, operator: Signature) -> Result<(), ChannelError> {
        let digest = self.state_digest();
        self.all_seats(digest, &signatures)?;
        sign::verify(digest, &operator, self.channel.proposal.operator)?;
        signatures.push(operator);
        self.events.push(Event::Concluded { conclusion: signatures });
        self.notify(Notice::Concluded);
        Ok(())
    }

    /// Receipts that are known change nothing; a seat may be asked for some of them twice.
    pub(super) fn arrivals(&mut self, arrivals: Vec<Arrived>) -> Result<(), ChannelError> {
        let channel = self.channel;
        let mut fresh: Vec<Arrived> = Vec::new();
        for arrived in arrivals {
            let turn = arrived.turn;
            if channel.header(turn) != Some(arrived.state) {
                return Err(ChannelError::OtherArrival { turn });
            }
            if channel.arrivals.iter().chain(&fresh).any(|known| known.turn == turn) {
                continue;
            }
            let digest = abi::digest(&channel.separator, arrived.arrival(channel.id).struct_hash());
            sign::verify(digest, &arrived.signature, channel.proposal.operator)?;
            fresh.push(arrived);
        }
        fresh.iter().for_each(|arrived| self.notify(Notice::Arrived(*arrived)));
        if !fresh.is_empty() {
            self.events.push(Event::Arrived(fresh));
        }
        Ok(())
    }

    fn all_seats(&self, digest: B256, signatures: &[Signature]) -> Result<(), ChannelError> {
        let players = self.channel.players();
        if signatures.len() != players.len() {
            return Err(ChannelError::Signatures { expected: players.len(), got: signatures.len() });
        }
        for (player, signature) in players.iter().zip(signatures) {
            sign::verify(digest, signature, player.key)?;
        }
        Ok(())
    }
}
