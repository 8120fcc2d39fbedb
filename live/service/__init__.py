"""The prediction service: a manifest and an exit model over HTTP.

bytes -> `body` -> `questions` -> `entries` or `exit_answers` -> bytes, on what `loaded` holds and
`watching` keeps up to date; `app` puts them together, `server` runs it.
"""
