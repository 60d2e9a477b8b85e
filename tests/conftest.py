import os
import signal
import tempfile

# DSPy reads these when it is imported: no prices from the network, and no cache in the home directory.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"
os.environ["DSPY_CACHEDIR"] = os.path.join(tempfile.gettempdir(), "weft-dspy-cache")  # noqa: PTH118  a plain string

# A shell starts background jobs with Ctrl+C ignored, and what they start inherits that. The tests interrupt commands.
signal.signal(signal.SIGINT, signal.default_int_handler)
