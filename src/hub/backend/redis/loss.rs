//! The mark of a log that has lost its end.
//!
//! A server that restarts with older files, or a replica that is promoted, may lack the newest entries. A
//! node that has seen one of them finds that out. Readers before it may have missed the others, and nodes
//! that have not seen it cannot know. So the node appends an entry that nobody is given, and leaves a mark
//! in Redis: the ID of this entry. Positions before it are not complete. All nodes follow the mark, and it
//! expires with the entries before it.

use std::sync::{Mutex, PoisonError};

use redis::{RedisError, Script, aio::MultiplexedConnection};

use super::{
    keys::Keys,
    message::{id, parse_id},
};
use crate::hub::backend::position::Position;

/// Sets the mark, and returns it. Returns nothing if the entry is not lost, but was trimmed.
///
/// `KEYS`: the log, the mark. `ARGV`: the identity, the ID of the lost entry, how long the mark is kept. A
/// mark after the lost entry was set for the same loss. The new entry comes after the lost one too, also if
/// the clock of this server is slow. It is expired from the start, and is the newest one, so that nodes
/// and readers that were told of the gap are at a complete position.
const MARK: &str = r"
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then return '' end
local function is_before(a, b)
  local ams, an = string.match(a, '^(%d+)-(%d+)$')
  local bms, bn = string.match(b, '^(%d+)-(%d+)$')
  ams, an, bms, bn = tonumber(ams), tonumber(an), tonumber(bms), tonumber(bn)
  return ams < bms or (ams == bms and an < bn)
end
local lost = ARGV[2]
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if #first == 0 or is_before(lost, first[1][1]) then return '' end
local mark = redis.call('GET', KEYS[2])
if mark and is_before(lost, mark) then return mark end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
local id = '*'
if is_before(newest, lost) then
  local ms, n = string.match(lost, '^(%d+)-(%d+)$')
  id = ms .. '-' .. string.format('%.0f', tonumber(n) + 1)
end
id = redis.call('XADD', KEYS[1], id, 'topic', 'tower-sse.loss', 'expires', '1')
redis.call('SET', KEYS[2], id, 'PX', ARGV[3])
return id
";

/// What a node knows of the mark.
#[derive(Debug)]
pub(super) struct Losses {
    /// How long the mark is kept, in milliseconds.
    ttl: u64,
    script: Script,
    known: Mutex<Known>,
}

/// The mark of a log. `None` if it was not asked for yet. The text is empty if there was no mark.
pub(super) type Known = Option<String>;

impl Losses {
    pub(super) fn new(ttl: u64) -> Self {
        Self { ttl, script: Script::new(MARK), known: Mutex::default() }
    }

    /// Returns the mark that this node has seen last.
    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_known(&self, mark: &str) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark.to_owned());
    }

    /// Returns whether entries may be missing after a position, by a mark that a tail has read. `known` is
    /// the mark that the tail knows.
    pub(super) fn is_told_by(&self, mark: &str, known: &mut Known, at: Position) -> bool {
        let is_new = !mark.is_empty() && known.as_deref() != Some(mark);
        let is_first = known.is_none();
        if is_new || is_first {
            *known = Some(mark.to_owned());
            self.set_known(mark);
        }
        is_new && (!is_first || is_before(mark, at))
    }

    /// Leaves a mark, since the entry at this position is lost.
    pub(super) async fn mark(
        &self,
        keys: &Keys,
        group: &str,
        at: Position,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        let mut call = self.script.key(&keys.log);
        call.key(keys.loss()).arg(group).arg(id(at)).arg(self.ttl);
        let mark: String = call.invoke_async(connection).await?;
        if !mark.is_empty() {
            self.set_known(&mark);
        }
        Ok(())
    }
}

/// Returns whether a position is not complete, because later entries were lost.
pub(super) fn is_before(mark: &str, at: Position) -> bool {
    parse_id(mark).is_some_and(|mark| at.place() < mark.place())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_told_once_to_each_tail_that_may_lack_entries() {
        let losses = Losses::new(1);
        let at = |major| Position::new(major);
        // A node that has just started knows no mark.
        let mut first = losses.known();
        assert!(!losses.is_told_by("", &mut first, at(5)));
        let mut second = losses.known();
        assert!(losses.is_told_by("7-0", &mut first, at(9)), "it was set while the tail went on");
        assert!(!losses.is_told_by("7-0", &mut first, at(9)));
        assert!(losses.is_told_by("7-0", &mut second, at(9)));
        assert!(!losses.is_told_by("", &mut first, at(9)), "the mark has expired");
        assert!(!losses.is_told_by("7-0", &mut losses.known(), at(7)));
        for (start, is_told) in [(0, true), (6, true), (7, false)] {
            let late = Losses::new(1);
            assert_eq!(late.is_told_by("7-0", &mut late.known(), at(start)), is_told, "{start}");
            assert!(!late.is_told_by("7-0", &mut late.known(), at(start)));
        }
    }
}
