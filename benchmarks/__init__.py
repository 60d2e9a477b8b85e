"""What Weft costs beside plain asyncio and its peers, on the same work in the same run: `make bench`.

`workloads` says what is measured and what must be reached, `work` holds the functions that everybody calls, each
of `contenders` writes the work its own way, `contender` is the process that measures one of them, and `run` asks
them all in turns. `report` prints, and `charts` draws. docs/performance.md tells how to read it.
"""
