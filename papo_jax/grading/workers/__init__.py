"""Worker processes that grade completions: started, timed, killed at a deadline, replaced.

`pool` is the way in; `batch` dispatches the requests of one call, `deadlines` kills what is late,
`worker_set` replaces what was killed, and `process` is one worker as the pool sees it. `worker` is
the program that each of them runs, inside the limits of `sandbox`; `protocol` is what they say, and
`interruption` stops what is slow until all else is judged.
"""
