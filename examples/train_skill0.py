"""Train with SKILL0, on one process or many:

python examples/train_skill0.py --config curricula/household_cpu.yaml
torchrun --nproc_per_node 2 examples/train_skill0.py --config curricula/household_cpu.yaml
accelerate launch --config_file examples/accelerate/ddp.yaml examples/train_skill0.py --config RECIPE

Files of examples/accelerate: single, ddp, fsdp2, zero2, zero3. --num_processes 8 says how many GPUs.
Exit code: 0 when the run is finished, 143 after SIGTERM (the same command resumes it), 2 after a message.
"""

import argparse
import sys

from skill0.training.processes import run_as_program
from skill0.training.recipe import load_recipe
from skill0.training.run import run_recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="a recipe from curricula/")
    parser.add_argument("--games", help="official ALFWorld games instead of the recipe's")
    parser.add_argument("--output", help="another run folder")
    parser.add_argument("--max-steps", type=int, help="another number of optimizer steps")
    arguments = parser.parse_args()

    def run() -> None:
        run_recipe(
            load_recipe(
                arguments.config,
                games=arguments.games,
                output_dir=arguments.output,
                max_steps=arguments.max_steps,
            )
        )

    sys.exit(run_as_program(run))


if __name__ == "__main__":
    main()
