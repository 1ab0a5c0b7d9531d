"""What the OpenAPI document cannot say: quotes are sent soon after they were submitted."""

from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

NOW = datetime.now(timezone.utc)

schemathesis.openapi.format(
    "date-time",
    st.integers(min_value=0, max_value=12 * 3600).map(lambda secs: (NOW - timedelta(seconds=secs)).isoformat()),
)
