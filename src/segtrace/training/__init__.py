"""The Lightning side: module, metrics, schedules, weights, precision."""
