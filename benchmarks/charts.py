def drawn(results): return {}
