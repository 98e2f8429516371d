"""Old usage is rolled up by a round of the controller."""

from __future__ import annotations

from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.usage import roll_up_usage
from quickthaw_platform.metering.usage.records import HOUR_SECONDS, Subject, UsageRecord
from quickthaw_platform.metering.usage.store import UsageStore, hour_key


def test_a_round_rolls_up_what_is_older_than_the_setting_and_nothing_else(context: Context) -> None:
    now, settings = redis_time(context.redis), context.settings
    store = UsageStore(context.redis, settings.usage_retention)
    subject = Subject("f", "v1", "serverless", "n1", "cpu", 1)
    old, young = now - settings.usage_detail - 2 * HOUR_SECONDS, now - settings.usage_detail + 2 * HOUR_SECONDS
    for start in (old, young):
        hour = start // HOUR_SECONDS
        for minute in range(3):
            record = UsageRecord(subject, hour * HOUR_SECONDS + 60 * minute, {("idle", ""): 60.0})
            store.write({("i", int(record.start // 60)): record})
    roll_up_usage(context)
    assert context.redis.hlen(hour_key(int(old // HOUR_SECONDS))) == 1
    assert context.redis.hlen(hour_key(int(young // HOUR_SECONDS))) == 3
    assert store.rows(None, None, ())[0].seconds == 360.0
