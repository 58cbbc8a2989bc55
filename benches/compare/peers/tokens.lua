-- One request for each line of a file, in turn, with the line as the bearer token; with a second argument, a check request
-- of nginx about `GET /`. The end prints a line for the program that started this: requests, microseconds, answers that were not 2xx or 3xx, socket errors, median and 99th percentile
-- of the latency in microseconds.
local requests, at = {}, 0

function init(arguments)
   for token in io.lines(arguments[1]) do
      local headers = {}
      if token ~= "" then headers["Authorization"] = "Bearer " .. token end
      if arguments[2] then
         headers["X-Original-Method"], headers["X-Original-URI"] = "GET", "/"
         headers["X-Original-Host"], headers["X-Forwarded-Proto"] = "127.0.0.1", "http"
      end
      requests[#requests + 1] = wrk.format("GET", nil, headers)
   end
   at = math.random(#requests)
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   local broken = errors.connect + errors.read + errors.write + errors.timeout
   print(string.format("RESULT %d %d %d %d %d %d", summary.requests, summary.duration, errors.status, broken,
      latency:percentile(50), latency:percentile(99)))
end
