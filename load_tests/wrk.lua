-- POST the file that WRK_BODY names, as WRK_USERS users in turns where that is not 0, and print one line "@@{json}" at
-- the end; times are in microseconds.
local file = assert(io.open(os.getenv("WRK_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
local json_bytes = os.getenv("WRK_JSON_BYTES")
wrk.headers["content-type"] = json_bytes and "application/octet-stream" or "application/json"
if json_bytes then wrk.headers["inference-header-content-length"] = json_bytes end
file:close()

local users = tonumber(os.getenv("WRK_USERS") or "0")
if users > 0 then
  local requests, turn = {}, 0
  init = function()
    for user = 1, users do
      wrk.headers["x-user-id"] = "user-" .. user
      requests[user] = wrk.format()
    end
  end
  request = function()
    turn = turn % users + 1
    return requests[turn]
  end
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('@@{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
