//! The scripts that run in Redis. Each runs as a whole, without another command in between.

use redis::Script;

/// Finds the name of the group that is the identity of the log.
const IDENTITY: &str = r"
local function identity()
  if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if string.sub(group[2], 1, 10) == 'tower-sse:' then return group[2] end
  end
end
";

/// Finds the log, or makes it. Returns the identity, the IDs of the oldest and the newest entry, and
/// whether no entry was ever removed. `ARGV[1]` is the name of a new group, `ARGV[2]` how long a topic is
/// kept.
///
/// Removes entries that are older than that, because the streams of their topics may be gone. The newest
/// of them stays: tails and readers that have everything up to it are at its position.
const FIND: &str = r"
local function info_of(stream)
  local info, found = redis.call('XINFO', 'STREAM', stream), {}
  for i = 1, #info, 2 do found[info[i]] = info[i + 1] end
  local first = found['first-entry']
  local is_whole = found['length'] == found['entries-added']
  return first and first[1] or '', found['last-generated-id'], is_whole
end
local function find()
  local name = identity()
  if not name then
    name = ARGV[1]
    redis.call('XGROUP', 'CREATE', KEYS[1], name, '0', 'MKSTREAM')
  end
  local time = redis.call('TIME')
  local cutoff = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2]
  local oldest = info_of(KEYS[1])
  -- Without an entry that is older, XREVRANGE would walk through the whole log.
  if oldest ~= '' and number(oldest) <= cutoff then
    local anchor = redis.call('XREVRANGE', KEYS[1], string.format('%.0f', cutoff), '-', 'COUNT', 1)
    redis.call('XTRIM', KEYS[1], 'MINID', anchor[1][1])
  end
  return name, info_of(KEYS[1])
end
";

/// Compares the IDs of entries.
const IS_BEFORE: &str = r"
local function number(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end
local function is_before(a, b)
  local ams, an = number(a)
  local bms, bn = number(b)
  return ams < bms or (ams == bms and an < bn)
end
";

/// Returns the identity of the log, and the IDs of the oldest and the newest entry.
const BOUNDS: &str = r"
local name, oldest, newest = find()
return {name, oldest, newest}
";

/// Returns whether the entry with the ID `ARGV[3]` is retained, and all entries after it, and this entry.
/// `KEYS` are the log, and for each topic whose entries matter its stream and its newest foreign entry; without
/// these, all matter. The start is an empty ID.
///
/// The stream of a topic has its entries for longer than the log does, but not the foreign ones. A topic without
/// a stream has no other that a reader could miss from its start.
const LOCATE: &str = r"
local _, oldest, newest, is_whole = find()
local at = ARGV[3]
-- The mark of a loss may be gone, with the log of its time. So older entries of a topic prove nothing.
local time = redis.call('TIME')
local cutoff = time[1] * 1000 - ARGV[2]
if at == '' then
  if is_whole then return {'kept', {}} end
elseif is_before(newest, at) then
  return {'unknown', {}}
elseif oldest ~= '' and not is_before(at, oldest) then
  return {'kept', redis.call('XRANGE', KEYS[1], at, at)}
end
local entry = {}
for i = 2, #KEYS, 2 do
  local foreign = redis.call('GET', KEYS[i + 1])
  if foreign and (at == '' or is_before(at, foreign)) then return {'trimmed', {}} end
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local first, _, is_all = info_of(KEYS[i])
    local from = number(at ~= '' and at or (first ~= '' and first or '0-0'))
    local is_old = first ~= '' and from < cutoff
    if is_old or not is_all and (at == '' or first == '' or is_before(at, first)) then
      return {'trimmed', {}}
    end
    if at ~= '' and #entry == 0 then entry = redis.call('XRANGE', KEYS[i], at, at) end
  elseif at ~= '' then
    return {'trimmed', {}}
  end
end
local is_kept = #KEYS > 1 and (at == '' or #entry > 0)
return {is_kept and 'kept' or 'trimmed', entry}
";

/// Returns the ID of the entry that is `ARGV[2] - 1` entries before the one at `ARGV[1]`, or of the oldest.
const BEFORE: &str = r"
local page = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
return #page > 0 and page[#page][1] or ''
";

/// Notes the newest foreign entries of topics: for each an element of `KEYS`, and its ID after `ARGV[1]`, how
/// long that is kept.
const NOTE_FOREIGN: &str = r"
for i, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  if not known or is_before(known, ARGV[i + 1]) then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1] + 60000)
  end
end
";

/// Removes what a topic has up to the ID `ARGV[1]`. `KEYS` are the topic, its state, its end, the set of
/// topics with keys, and its newest foreign entry; `ARGV[2]` is the name of the topic.
const FORGET: &str = r"
local foreign = redis.call('GET', KEYS[5])
if foreign and not is_before(ARGV[1], foreign) then redis.call('UNLINK', KEYS[5]) end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if #last == 0 or not is_before(ARGV[1], last[1][1]) then
  redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
  redis.call('SREM', KEYS[4], ARGV[2])
  return
end
-- The topic has begun anew, with the entries that are left.
local ms, n = number(ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', ms, n + 1))
redis.call('XSETID', KEYS[1], last[1][1], 'ENTRIESADDED', redis.call('XLEN', KEYS[1]), 'MAXDELETEDID', ARGV[1])
local ended = redis.call('GET', KEYS[3])
if ended and not is_before(ARGV[1], ended) then redis.call('UNLINK', KEYS[3]) end
";

/// Appends entries.
///
/// `KEYS`: the log, the set of topics with keys, and for each entry the key of its append, its topic and
/// the state of its topic, and for an end also the end of its topic. `ARGV`: the identity, the number of
/// entries that the log retains, how long an append is recognized, how long a topic is kept; then for each
/// entry its topic, `=` and its key or nothing, `tombstone` or `end` or nothing, its time to live in
/// milliseconds or nothing, the number of values of its fields, and these.
const APPEND: &str = r"
-- This fails at once without the group. It costs a tenth of a look at all groups.
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then
  return redis.error_reply('IDENTITY the log is another one')
end
-- An entry that the engine has lost has to be appended again. One that was trimmed has not.
local function is_known(id)
  if #redis.call('XRANGE', KEYS[1], id, id) > 0 then return true end
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
  return #first > 0 and is_before(id, first[1][1])
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local ids, at, key = {}, 5, 3
while at <= #ARGV do
  local topic, state_key, kind, ttl, count = unpack(ARGV, at, at + 4)
  at = at + 5
  local append, stream, state = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  key = key + (kind == 'end' and 4 or 3)
  local id = redis.call('GET', append)
  if not id or not is_known(id) then
    local fields = {unpack(ARGV, at, at + count - 1)}
    if ttl ~= '' then
      fields[#fields + 1] = 'expires'
      fields[#fields + 1] = string.format('%.0f', now() + ttl)
    end
    id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
    -- After the engine has lost the end of the log, the topic may have later entries. An entry that is
    -- removed again shows that the new stream is not the whole topic.
    local added = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[2] + 1000, id, unpack(fields))
    if type(added) == 'table' and added.err then
      redis.call('DEL', stream)
      redis.call('XDEL', stream, redis.call('XADD', stream, '0-1', 'topic', topic))
      redis.call('XADD', stream, id, unpack(fields))
    end
    -- A minute longer than the entry is in the log.
    redis.call('PEXPIRE', stream, ARGV[4] + 60000)
    redis.call('SET', append, id, 'PX', ARGV[3])
    if state_key ~= '' then
      state_key = string.sub(state_key, 2)
      if kind == 'tombstone' then
        redis.call('HDEL', state, state_key)
      else
        redis.call('HSET', state, state_key, id)
        redis.call('SADD', KEYS[2], topic)
      end
      redis.call('PEXPIRE', state, ARGV[4] + 60000)
    end
    if kind == 'end' then redis.call('SET', KEYS[key - 1], id, 'PX', ARGV[4] + 60000) end
  end
  ids[#ids + 1] = id
  at = at + count
end
return ids
";

pub(super) fn bounds() -> Script {
    Script::new(&[IDENTITY, IS_BEFORE, FIND, BOUNDS].concat())
}

pub(super) fn locate() -> Script {
    Script::new(&[IDENTITY, IS_BEFORE, FIND, LOCATE].concat())
}

pub(super) fn before() -> Script {
    Script::new(BEFORE)
}

pub(super) fn note_foreign() -> Script {
    Script::new(&[IS_BEFORE, NOTE_FOREIGN].concat())
}

pub(super) fn forget() -> Script {
    Script::new(&[IS_BEFORE, FORGET].concat())
}

pub(super) fn append() -> Script {
    Script::new(&[IS_BEFORE, APPEND].concat())
}
