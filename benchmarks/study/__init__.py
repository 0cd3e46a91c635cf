"""The parts of `benchmarks/internalization.py`: arms, episode budgets, processes, figures, verdicts."""
