-- Makes wrk send the bytes of one file, for ROUTES hosts in turn, and say what came of it in one line of JSON.
-- Those bytes are what the driver has asked for itself before the measurement, to see that the answer is right.
local file = assert(io.open(os.getenv("REQUEST"), "rb"))
local bytes = file:read("*a")
file:close()

local routes = tonumber(os.getenv("ROUTES"))
if routes == 1 then
  -- wrk formats once and then sends without asking Lua again.
  wrk.format = function() return bytes end
else
  local requests, at = {}, 0
  for i = 0, routes - 1 do
    requests[i] = (bytes:gsub("Host: h0%.", "Host: h" .. i .. "."))
  end
  -- A stride prime to the number of routes: all are asked for equally often, none right after its neighbour.
  function request()
    at = (at + 7919) % routes
    return requests[at]
  end
end

function done(summary, latency, _)
  local e = summary.errors
  local form = '{"requests":%d,"bytes":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,'
    .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n'
  io.write(form:format(summary.requests, summary.bytes, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.connect, e.read, e.write, e.status, e.timeout))
end
