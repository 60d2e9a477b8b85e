import os
import tempfile

# DSPy reads these when it is imported: no prices from the network, and no cache in the home directory.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"
os.environ["DSPY_CACHEDIR"] = os.path.join(tempfile.gettempdir(), "weft-dspy-cache")  # noqa: PTH118  a plain string
