"""The parts of `benchmarks/training.py --figures`: what an iteration costs, and what it could not save."""
