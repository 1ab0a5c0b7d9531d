#!/usr/bin/env bash
# FOLDER -> every row of its Parquet files as a line of JSON, read by DuckDB by Hive's rules of partitions. For the tests of the export.
set -euo pipefail
out=$(realpath "$1")
cd "$(dirname "$0")/.."
venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/venv
version=1.4.2
(
    # One installs, the others wait.
    mkdir -p "$venv"
    exec 9>"$venv.lock"
    flock 9
    if [ "$("$venv/bin/python" -c 'import duckdb; print(duckdb.__version__)' 2>/dev/null)" != "$version" ]; then
        [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" >&2
    fi
)
exec "$venv/bin/python" - "$out" <<'PYTHON'
import json, sys
import duckdb

rows = duckdb.execute(
    "SELECT * REPLACE (CAST(dt AS VARCHAR) AS dt, epoch_us(event_time) AS event_time) "
    "FROM read_parquet(?, hive_partitioning = true)",
    [sys.argv[1] + "/**/*.parquet"],
)
names = [column[0] for column in rows.description]
for row in rows.fetchall():
    print(json.dumps(dict(zip(names, row)), ensure_ascii=False))
PYTHON
