"""`python -m skill0`, for launchers that start a module (torchrun, accelerate)."""

from skill0.cli import main

if __name__ == "__main__":
    main()
