"""What DSPyBackend is made of; each module imports dspy, and is imported when the back-end is used."""
