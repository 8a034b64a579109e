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

/// Returns the identity of the log, which it makes if needed, and the IDs of the oldest and the newest
/// entry. `ARGV[1]` is the name of a new group, `ARGV[2]` how long a topic is kept.
///
/// Removes entries that are older than that, because the streams of their topics may be gone. The newest
/// of them stays: tails and readers that have everything up to it are at its position.
const BOUNDS: &str = r"
local name = identity()
if not name then
  name = ARGV[1]
  redis.call('XGROUP', 'CREATE', KEYS[1], name, '0', 'MKSTREAM')
end
local time = redis.call('TIME')
local cutoff = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2]
if cutoff > 0 then
  local anchor = redis.call('XREVRANGE', KEYS[1], string.format('%.0f', cutoff), '-', 'COUNT', 1)
  if #anchor > 0 then redis.call('XTRIM', KEYS[1], 'MINID', anchor[1][1]) end
end
local info, oldest, newest = redis.call('XINFO', 'STREAM', KEYS[1]), '', ''
local length, added = 0, 0
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then newest = info[i + 1]
  elseif info[i] == 'length' then length = info[i + 1]
  elseif info[i] == 'entries-added' then added = info[i + 1]
  elseif info[i] == 'first-entry' and info[i + 1] then oldest = info[i + 1][1] end
end
return {name, oldest, newest, length, added}
";

/// Appends entries.
///
/// `KEYS`: the log, the set of topics with keys, and for each entry the key of its append, its topic and
/// the state of its topic. `ARGV`: the identity, the number of entries that the log retains, how long an
/// append is recognized, how long a topic is kept; then for each entry its topic, `=` and its key or
/// nothing, whether it is a tombstone, its time to live in milliseconds or nothing, the number of values
/// of its fields, and these.
const APPEND: &str = r"
-- This fails at once without the group. It costs a tenth of a look at all groups.
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then
  return redis.error_reply('IDENTITY the log is another one')
end
local function number(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end
local function is_before(a, b)
  local ams, an = number(a)
  local bms, bn = number(b)
  return ams < bms or (ams == bms and an < bn)
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
  local topic, state_key, tombstone, ttl, count = unpack(ARGV, at, at + 4)
  at = at + 5
  local append, stream, state = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  key = key + 3
  local id = redis.call('GET', append)
  if not id or not is_known(id) then
    local fields = {unpack(ARGV, at, at + count - 1)}
    if ttl ~= '' then
      fields[#fields + 1] = 'expires'
      fields[#fields + 1] = string.format('%.0f', now() + ttl)
    end
    id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
    -- After the engine has lost the end of the log, the topic may have later entries.
    local added = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[2] + 1000, id, unpack(fields))
    if type(added) == 'table' and added.err then
      redis.call('DEL', stream)
      redis.call('XADD', stream, id, unpack(fields))
    end
    -- A minute longer than the entry is in the log.
    redis.call('PEXPIRE', stream, ARGV[4] + 60000)
    redis.call('SET', append, id, 'PX', ARGV[3])
    if state_key ~= '' then
      state_key = string.sub(state_key, 2)
      if tombstone == '1' then
        redis.call('HDEL', state, state_key)
      else
        redis.call('HSET', state, state_key, id)
        redis.call('SADD', KEYS[2], topic)
      end
      redis.call('PEXPIRE', state, ARGV[4] + 60000)
    end
  end
  ids[#ids + 1] = id
  at = at + count
end
return ids
";

pub(super) fn bounds() -> Script {
    Script::new(&format!("{IDENTITY}{BOUNDS}"))
}

pub(super) fn append() -> Script {
    Script::new(APPEND)
}
