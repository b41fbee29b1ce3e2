-- A visitor as wrk plays it: ordinary headers, a sub id of its own, 5,000 returning profiles.
local link, number = "", 0
local headers = {
  ["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  ["Accept-Language"] = "en-GB,en;q=0.9",
  ["Referer"] = "https://runningblog.example/best-shoes-2026",
  ["Sec-Fetch-Site"] = "cross-site",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-User"] = "?1",
}

function init(args) link = args[1] end

function request()
  number = number + 1
  headers["Cookie"] = string.format("clickledger_profile=01234567-89ab-4def-8123-%012x", number % 5000)
  local query = string.format("?subId1=%08x-47ab-4def-8123-0123456789ab&u=https%%3A%%2F%%2Fshop.example.com%%2Fp%%2F%d&utm_source=blog", number, number % 500)
  return wrk.format("GET", link .. query, headers)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('WRK {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
