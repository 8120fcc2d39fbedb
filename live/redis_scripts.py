"""What runs on a redis-server itself: a trim, with nobody coming in between, and a count."""

# KEYS[1]: stream. ARGV: events to keep; 1 to trim a stream without a group; most to remove.
# Ids are compared as text, by length first: halves of them exceed what a number of Lua holds.
TRIM = """
local function halves(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return ms, n
end
local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end
local function before(a, b)
  local ams, an = halves(a)
  local bms, bn = halves(b)
  if ams ~= bms then return less(ams, bms) end
  return less(an, bn)
end

local key, keep, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[3])
local excess = math.min(redis.call('XLEN', key) - keep, most)
if excess <= 0 then return 0 end
local groups = redis.call('XINFO', 'GROUPS', key)
if #groups == 0 and ARGV[2] ~= '1' then return 0 end

-- The first event that stays: the oldest of those to keep, or one that a group still needs.
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', excess + 1)
local stays = nil
if #oldest > excess then stays = oldest[excess + 1][1] end
for _, told in ipairs(groups) do
  local group = {}
  for i = 1, #told, 2 do group[told[i]] = told[i + 1] end
  local needed = redis.call('XPENDING', key, group['name'])[2]
  if not needed then
    local new = redis.call('XRANGE', key, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
    if #new > 0 then needed = new[1][1] end
  end
  if needed and (stays == nil or before(needed, stays)) then stays = needed end
end
if stays == nil then return redis.call('XTRIM', key, 'MAXLEN', 0) end
return redis.call('XTRIM', key, 'MINID', stays)
"""

# KEYS[1]: stream. ARGV: id after which is counted; most to count. Returns how many there are, and
# the id of the last of them. Their content does not leave the server.
COUNT = """
local found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if #found == 0 then return {0, ARGV[1]} end
return {#found, found[#found][1]}
"""
