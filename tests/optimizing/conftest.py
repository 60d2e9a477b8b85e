import os
import tempfile

# DSPy reads both when it is imported: no price list from the network, no cache in the home directory.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="weft-dspy-"))
