-- Asks scopegate about a request, for HAProxy 2.6 and later:
--
--   http-request lua.scopegate URL NAMES
--
-- URL is where scopegate answers HAProxy, by address: no name is looked up. NAMES are the headers of scopegate's
-- `identity.headers` and those of `accept_token`, with commas between. A permitted request goes on with these headers as scopegate set them, whatever
-- the caller sent, and `txn.scopegate` is `permitted`; a refusal is answered as scopegate says. Whatever goes wrong here,
-- HAProxy goes on with the request: the configuration must end it unless `txn.scopegate` is `permitted`.

-- By these some services change method or path behind the decision.
local OVERRIDES = "x-http-method-override,x-http-method,x-method-override,x-original-url,x-original-uri,x-rewrite-url,proxy"

-- What scopegate looks at besides method, scheme, host and path.
local SHOWN = {
  "authorization", "origin", "access-control-request-method", "access-control-request-headers",
  "sec-websocket-key", "sec-websocket-protocol", "x-request-id", "cookie", "sec-fetch-site",
  "traceparent", "tracestate",
}

-- What of an answer belongs to the connection to scopegate.
local OWN = {
  ["connection"] = true, ["content-length"] = true, ["date"] = true, ["keep-alive"] = true,
  ["server"] = true, ["transfer-encoding"] = true,
}

-- How long scopegate may take, in milliseconds; HAProxy tries four times.
local PATIENCE = 3000

-- A header's name as the laxest of services compares it.
local function normal(name)
  return (name:lower():gsub("[^%w]", "-"))
end

-- HAProxy counts values from 0 and its client from 1.
local function values(found)
  local all = {}
  for index = 0, found and #found or -1 do
    all[index + 1] = found[index]
  end
  return all
end

-- As the request goes on: HTTP/1 with its target as it was sent, later versions with path and query.
local function target(txn)
  if txn.f:req_ver():sub(1, 2) == "1." then
    return txn.f:url()
  end
  return txn.f:pathq()
end

local function question(txn, names, headers)
  -- A number up to HAProxy 3.0, where 0 is true.
  local secured = txn.f:ssl_fc()
  local said = {
    ["x-scopegate-method"] = { txn.f:method() },
    ["x-scopegate-scheme"] = { (secured == 1 or secured == true) and "https" or "http" },
    ["x-scopegate-host"] = values(headers["host"]),
    ["x-scopegate-uri"] = { target(txn) },
  }
  for _, name in ipairs(SHOWN) do
    if headers[name] then
      said[name] = values(headers[name])
    end
  end
  for name in names:lower():gmatch("[^,]+") do
    if headers[name] then
      said[name] = values(headers[name])
    end
  end
  return said
end

local function pass(txn, names, headers, told)
  local taken_off = {}
  for name in (names .. "," .. OVERRIDES):gmatch("[^,]+") do
    taken_off[normal(name)] = true
  end
  for name in pairs(headers) do
    -- To many services `X_Forwarded_For` and `X.Auth.Subject` are `X-Forwarded-For` and `X-Auth-Subject`.
    if name:find("[^%w-]") or taken_off[normal(name)] then
      txn.http:req_del_header(name)
    end
  end
  for name in names:gmatch("[^,]+") do
    local value = told[name:lower()]
    txn.http:req_set_header(name, value and value[0] or "")
  end
  -- The caller's token, nothing, or scopegate's own, as `identity.forward` says; cookies and a WebSocket's subprotocols
  -- without it.
  for _, name in ipairs({ "authorization", "cookie", "sec-websocket-protocol" }) do
    if told[name] then
      txn.http:req_del_header(name)
      for _, value in ipairs(values(told[name])) do
        if value ~= "" then
          txn.http:req_add_header(name, value)
        end
      end
    end
  end
  txn:set_var("txn.scopegate", "permitted")
end

local function refuse(txn, answer)
  local reply = txn:reply({ status = answer.status, body = answer.body })
  for name, found in pairs(answer.headers) do
    if not OWN[name] then
      for _, value in ipairs(values(found)) do
        reply:add_header(name, value)
      end
    end
  end
  txn:done(reply)
end

core.register_action("scopegate", { "http-req" }, function(txn, url, names)
  local headers = txn.http:req_get_headers()
  local asked = { url = url, headers = question(txn, names, headers), timeout = PATIENCE }
  local answer = core.httpclient():get(asked)
  local kind = answer.headers and answer.headers["content-type"]
  if answer.status == 200 then
    pass(txn, names, headers, answer.headers)
  elseif kind and kind[0] == "application/problem+json" and answer.status >= 400 then
    refuse(txn, answer)
  end
end, 2)
