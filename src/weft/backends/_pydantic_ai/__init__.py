"""The side of PydanticAIBackend that imports PydanticAI: loaded by its first call."""
