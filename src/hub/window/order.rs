//! The retained records of all topics in one order.

use std::{collections::BTreeMap, sync::Arc};

use super::record::{Record, Seq};
use crate::hub::backend::Position;

/// How many places a block has.
const BLOCK: u64 = 64;

/// The retained records, in the order of publication, and their number and cost.
///
/// They are kept in blocks of consecutive places. A block is dropped with its last record, so a topic
/// that is quiet for long keeps its own blocks only.
#[derive(Default)]
pub(super) struct RetainedOrder {
    /// The blocks, by their first place divided by the size of a block.
    blocks: BTreeMap<u64, Block>,
    /// How many records there are.
    len: usize,
}

/// The records of consecutive places.
struct Block {
    /// A slot for each place. `None` if it is not used yet, or if its record was removed.
    slots: Box<[Option<Arc<Record>>]>,
    /// How many slots have a record.
    live: usize,
}

impl RetainedOrder {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, record: Arc<Record>) {
        let (block, slot) = place(record.seq);
        let new = || Block { slots: (0..BLOCK).map(|_| None).collect(), live: 0 };
        let block = self.blocks.entry(block).or_insert_with(new);
        block.slots[slot] = Some(record);
        block.live += 1;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Arc<Record>> {
        let (number, slot) = place(seq);
        let block = self.blocks.get_mut(&number)?;
        let record = block.slots[slot].take()?;
        block.live -= 1;
        self.len -= 1;
        if block.live == 0 {
            self.blocks.remove(&number);
        }
        Some(record)
    }

    /// Returns the oldest record.
    pub(super) fn first(&self) -> Option<&Arc<Record>> {
        let (_, block) = self.blocks.first_key_value()?;
        block.slots.iter().flatten().next()
    }

    /// Returns the last record that is not after a place.
    pub(super) fn at_or_before(&self, seq: Seq) -> Option<&Arc<Record>> {
        let (block, _) = place(seq);
        let mut blocks = self.blocks.range(..=block).rev().take(2);
        blocks.find_map(|(_, block)| block.slots.iter().flatten().rfind(|it| it.seq <= seq))
    }

    /// Returns the record at a place.
    pub(super) fn get(&self, seq: Seq) -> Option<&Arc<Record>> {
        let (block, slot) = place(seq);
        self.blocks.get(&block)?.slots[slot].as_ref()
    }

    /// Returns the last record that is not after a position of the log.
    pub(super) fn last_until(&self, position: Position) -> Option<&Arc<Record>> {
        let is_until = |record: &&Arc<Record>| record.position <= position;
        let first = self.first().filter(is_until)?;
        // Positions grow with places, so the block is found by bisection of the places.
        let (mut low, mut high) = (first.seq / BLOCK, *self.blocks.last_key_value()?.0 + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let (_, block) = self.blocks.range(middle..high).next().unzip();
            match block.and_then(|block| block.slots.iter().flatten().next()).filter(is_until) {
                Some(record) => low = record.seq / BLOCK,
                None => high = middle,
            }
        }
        self.blocks.get(&low)?.slots.iter().flatten().rfind(is_until)
    }

    /// Counts the records after a place, up to a limit of blocks that it looks at. Returns `None`
    /// if there are more.
    pub(super) fn count_after(&self, after: Seq, most_blocks: usize) -> Option<u64> {
        let (number, slot) = place(after + 1);
        let mut count = 0;
        for (looked_at, (block, records)) in self.blocks.range(number..).enumerate() {
            if looked_at >= most_blocks {
                return None;
            }
            count += match *block == number {
                true => records.slots[slot..].iter().flatten().count(),
                false => records.live,
            };
        }
        Some(count as u64)
    }
}

fn place(seq: Seq) -> (u64, usize) {
    (seq / BLOCK, (seq % BLOCK) as usize)
}
