"""What the OpenAPI document cannot say: quotes are sent soon after they were submitted."""

from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

NOW = datetime.now(timezone.utc)
EXAMPLE = "2026-11-24T09:30:00+03:00"

schemathesis.openapi.format(
    "date-time",
    st.integers(min_value=0, max_value=12 * 3600).map(lambda secs: (NOW - timedelta(seconds=secs)).isoformat()),
)


@schemathesis.hook
def before_call(context, case, kwargs):
    """The example of the document has a fixed time, which grows too old."""
    body = case.body
    if isinstance(body, dict) and body.get("submitted_at") == EXAMPLE:
        body["submitted_at"] = NOW.isoformat()
