"""The rules of docs/replay_rules.md, compiled: one file per group, shared by replay and live."""
