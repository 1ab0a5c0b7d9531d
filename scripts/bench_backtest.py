"""Runs a backtest that writes JSON last, and holds its rate and its peak memory against the targets."""

import json
import resource
import subprocess
import sys
import time

RATE_MIN = 25_000
# What the program needs whatever it reads, and what a live attempt costs: itself, its indexes and what the backtest keeps of it.
FIXED_BYTES = 200_000_000
ATTEMPT_BYTES = 1_200

began = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
secs = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
with open(sys.argv[-1], encoding="utf-8") as figures:
    found = json.load(figures)
records, live = found["history"]["records"], found["history"]["live_attempts_max"]
bound = FIXED_BYTES + live * ATTEMPT_BYTES
rate = records / secs
print(f"{len(found['candidates'])} candidates, {rate:,.0f} quotes/s (target {RATE_MIN:,}: {'met' if rate >= RATE_MIN else 'MISSED'})")
print(f"peak memory {peak / 1e6:,.0f} MB at {live:,} live attempts of {records:,} quotes (bound {bound / 1e6:,.0f} MB)")
if peak > bound:
    sys.exit("memory is not bounded by the window")
