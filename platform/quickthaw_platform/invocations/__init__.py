"""Invocations and slots: states, epochs, event log, leases, and every Lua script that guards them."""
